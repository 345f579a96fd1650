-- One row per entry, road and column where that road told otherwise than conversation_entries shows. A road that tells
-- nothing in a column contradicts nobody; spellings (tellings.sql) are no differences.

create temp macro other_name(told, shown) as told <> shown and folded(told) <> folded(shown);
create temp macro other_subject(told, shown) as told <> shown and as_named(told) <> as_named(shown);
-- Some roads tell whole seconds.
create temp macro other_time(told, shown) as
    abs(epoch_ms(told) - epoch_ms(shown))
    >= case when epoch_ms(told) % 1000 = 0 or epoch_ms(shown) % 1000 = 0 then 1000 else 1 end;
create temp macro other_list(told, shown) as len(told) > 0 and len(shown) > 0 and told <> shown;

with several as (
    select
        shared.conversation,
        shared.entry,
        tellings.conversation_identifier,
        coalesce(renamed.entry_identifier, tellings.entry_identifier) as entry_identifier,
        renamed.entry_identifier is not null as is_renamed,
        tellings.precedence,
        shared.shown,
        tellings.road,
        tellings.fetched_at,
        tellings.text,
        tellings.entry_type,
        tellings.message_type,
        tellings.format_type,
        tellings.sender_role,
        tellings.sender_app_type,
        tellings.sender_subject,
        tellings.sender_display_name,
        tellings.modality,
        tellings.visibility,
        tellings.client_timestamp,
        tellings.transcripted_timestamp,
        tellings.client_duration_ms,
        tellings.in_reply_to_entry_identifier,
        tellings.options,
        tellings.selected_options,
        tellings.links
    from tellings
    left join renamed
        on renamed.precedence = tellings.precedence
        and renamed.conversation_identifier = tellings.conversation_identifier
        and renamed.told_identifier = tellings.entry_identifier
    join shared
        on shared.conversation = key_of(tellings.conversation_identifier)
        and shared.entry = key_of(coalesce(renamed.entry_identifier, tellings.entry_identifier))
),

-- With the words that are shown, which after a redaction are those of a poorer road.
shown as (
    select
        several.*,
        coalesce(retold.text, several.text) as words,
        coalesce(retold.road, several.road) as words_road,
        coalesce(retold.fetched_at, several.fetched_at) as words_fetched_at
    from several
    left join retold using (conversation, entry)
    where several.precedence = several.shown
),

-- What differs, be it in spelling alone: few tellings of many.
pairs as (
    select told, fullest
    from several as told
    join shown as fullest
        on fullest.conversation = told.conversation
        and fullest.entry = told.entry
    where told.text <> fullest.words
       or told.entry_type <> fullest.entry_type
       or told.message_type <> fullest.message_type
       or told.format_type <> fullest.format_type
       or told.sender_role <> fullest.sender_role
       or told.sender_app_type <> fullest.sender_app_type
       or told.sender_subject <> fullest.sender_subject
       or told.sender_display_name <> fullest.sender_display_name
       or told.modality <> fullest.modality
       or told.visibility <> fullest.visibility
       or told.client_timestamp <> fullest.client_timestamp
       or told.transcripted_timestamp <> fullest.transcripted_timestamp
       or told.client_duration_ms <> fullest.client_duration_ms
       or told.in_reply_to_entry_identifier <> fullest.in_reply_to_entry_identifier
       or told.options <> fullest.options
       or told.selected_options <> fullest.selected_options
       or told.links <> fullest.links
),

differences as (
    select
        told.conversation_identifier,
        told.entry_identifier,
        told.road,
        fullest.transcripted_timestamp,
        told.fetched_at,
        fullest.road as shown_road,
        fullest.fetched_at as shown_fetched_at,
        fullest.words_road,
        fullest.words_fetched_at,
        unnest([
            {
                'column_name': 'text',
                'differs': other_words(told.text, fullest.words),
                'told': told.text,
                'shown': fullest.words
            },
            {
                'column_name': 'entry_type',
                'differs': other_name(told.entry_type, fullest.entry_type),
                'told': told.entry_type,
                'shown': fullest.entry_type
            },
            {
                'column_name': 'message_type',
                'differs': other_name(told.message_type, fullest.message_type),
                'told': told.message_type,
                'shown': fullest.message_type
            },
            {
                'column_name': 'format_type',
                'differs': other_name(told.format_type, fullest.format_type),
                'told': told.format_type,
                'shown': fullest.format_type
            },
            {
                'column_name': 'sender_role',
                'differs': other_name(told.sender_role, fullest.sender_role),
                'told': told.sender_role,
                'shown': fullest.sender_role
            },
            {
                'column_name': 'sender_app_type',
                'differs': other_name(told.sender_app_type, fullest.sender_app_type),
                'told': told.sender_app_type,
                'shown': fullest.sender_app_type
            },
            {
                'column_name': 'sender_subject',
                'differs': other_subject(told.sender_subject, fullest.sender_subject),
                'told': told.sender_subject,
                'shown': fullest.sender_subject
            },
            {
                'column_name': 'sender_display_name',
                'differs': other_words(told.sender_display_name, fullest.sender_display_name),
                'told': told.sender_display_name,
                'shown': fullest.sender_display_name
            },
            {
                'column_name': 'modality',
                'differs': other_name(told.modality, fullest.modality),
                'told': told.modality,
                'shown': fullest.modality
            },
            {
                'column_name': 'visibility',
                'differs': other_name(told.visibility, fullest.visibility),
                'told': told.visibility,
                'shown': fullest.visibility
            },
            {
                'column_name': 'client_timestamp',
                'differs': not told.is_renamed and other_time(told.client_timestamp, fullest.client_timestamp),
                'told': told.client_timestamp::varchar,
                'shown': fullest.client_timestamp::varchar
            },
            {
                'column_name': 'transcripted_timestamp',
                -- Where an archive tells no time of the server, the client's stands in for it.
                'differs': not told.is_renamed
                    and told.transcripted_timestamp is distinct from told.client_timestamp
                    and other_time(told.transcripted_timestamp, fullest.transcripted_timestamp),
                'told': told.transcripted_timestamp::varchar,
                'shown': fullest.transcripted_timestamp::varchar
            },
            {
                'column_name': 'client_duration_ms',
                'differs': abs(told.client_duration_ms - fullest.client_duration_ms) >= 1000,
                'told': told.client_duration_ms::varchar,
                'shown': fullest.client_duration_ms::varchar
            },
            {
                'column_name': 'in_reply_to_entry_identifier',
                'differs': other_subject(told.in_reply_to_entry_identifier, fullest.in_reply_to_entry_identifier),
                'told': told.in_reply_to_entry_identifier,
                'shown': fullest.in_reply_to_entry_identifier
            },
            {
                'column_name': 'options',
                'differs': other_list(told.options, fullest.options),
                'told': told.options::varchar,
                'shown': fullest.options::varchar
            },
            {
                'column_name': 'selected_options',
                'differs': other_list(told.selected_options, fullest.selected_options),
                'told': told.selected_options::varchar,
                'shown': fullest.selected_options::varchar
            },
            {
                'column_name': 'links',
                'differs': other_list(told.links, fullest.links),
                'told': told.links::varchar,
                'shown': fullest.links::varchar
            }
        ], recursive := true)
    from pairs
)

select
    conversation_identifier,
    entry_identifier,
    road,
    column_name,
    transcripted_timestamp,
    told,
    shown,
    case when column_name = 'text' then words_road else shown_road end as shown_road,
    fetched_at,
    case when column_name = 'text' then words_fetched_at else shown_fetched_at end as shown_fetched_at
from differences
where differs
