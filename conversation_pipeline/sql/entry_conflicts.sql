-- One row per entry, road and column where that road told otherwise than conversation_entries shows. A road that tells
-- nothing in a column contradicts nobody; spellings (tellings.sql) are no differences.

create temp macro other_name(told, shown) as told <> shown and folded(told) <> folded(shown);
create temp macro other_subject(told, shown) as told <> shown and as_named(told) <> as_named(shown);
-- Some roads tell whole seconds.
create temp macro other_time(told, shown) as
    abs(epoch_ms(told) - epoch_ms(shown))
    >= case when epoch_ms(told) % 1000 = 0 or epoch_ms(shown) % 1000 = 0 then 1000 else 1 end;
create temp macro other_list(told, shown) as len(told) > 0 and len(shown) > 0 and told <> shown;

with entries as (
    select
        tellings.* replace (coalesce(renamed.entry_identifier, tellings.entry_identifier) as entry_identifier),
        renamed.precedence is not null as is_renamed
    from tellings
    left join renamed
        on renamed.precedence = tellings.precedence
        and renamed.conversation_identifier = tellings.conversation_identifier
        and renamed.told_identifier = tellings.entry_identifier
),

several as (
    select entries.*, shared.shown
    from entries
    join shared using (conversation_identifier, entry_identifier)
),

-- With the words that are shown, which after a redaction are those of a poorer road.
entry as (
    select
        several.*,
        coalesce(retold.text, several.text) as words,
        coalesce(retold.road, several.road) as words_road,
        coalesce(retold.fetched_at, several.fetched_at) as words_fetched_at
    from several
    left join retold using (conversation_identifier, entry_identifier)
    where several.precedence = several.shown
),

pairs as (
    select told, entry
    from several as told
    join entry using (conversation_identifier, entry_identifier)
),

differences as (
    select
        told.conversation_identifier,
        told.entry_identifier,
        told.road,
        entry.transcripted_timestamp,
        told.fetched_at,
        entry.road as shown_road,
        entry.fetched_at as shown_fetched_at,
        entry.words_road,
        entry.words_fetched_at,
        unnest([
            {
                'column_name': 'text',
                'differs': other_words(told.text, entry.words),
                'told': told.text,
                'shown': entry.words
            },
            {
                'column_name': 'entry_type',
                'differs': other_name(told.entry_type, entry.entry_type),
                'told': told.entry_type,
                'shown': entry.entry_type
            },
            {
                'column_name': 'message_type',
                'differs': other_name(told.message_type, entry.message_type),
                'told': told.message_type,
                'shown': entry.message_type
            },
            {
                'column_name': 'format_type',
                'differs': other_name(told.format_type, entry.format_type),
                'told': told.format_type,
                'shown': entry.format_type
            },
            {
                'column_name': 'sender_role',
                'differs': other_name(told.sender_role, entry.sender_role),
                'told': told.sender_role,
                'shown': entry.sender_role
            },
            {
                'column_name': 'sender_app_type',
                'differs': other_name(told.sender_app_type, entry.sender_app_type),
                'told': told.sender_app_type,
                'shown': entry.sender_app_type
            },
            {
                'column_name': 'sender_subject',
                'differs': other_subject(told.sender_subject, entry.sender_subject),
                'told': told.sender_subject,
                'shown': entry.sender_subject
            },
            {
                'column_name': 'sender_display_name',
                'differs': other_words(told.sender_display_name, entry.sender_display_name),
                'told': told.sender_display_name,
                'shown': entry.sender_display_name
            },
            {
                'column_name': 'modality',
                'differs': other_name(told.modality, entry.modality),
                'told': told.modality,
                'shown': entry.modality
            },
            {
                'column_name': 'visibility',
                'differs': other_name(told.visibility, entry.visibility),
                'told': told.visibility,
                'shown': entry.visibility
            },
            {
                'column_name': 'client_timestamp',
                'differs': not told.is_renamed and other_time(told.client_timestamp, entry.client_timestamp),
                'told': told.client_timestamp::varchar,
                'shown': entry.client_timestamp::varchar
            },
            {
                'column_name': 'transcripted_timestamp',
                -- Where an archive tells no time of the server, the client's stands in for it.
                'differs': not told.is_renamed
                    and told.transcripted_timestamp is distinct from told.client_timestamp
                    and other_time(told.transcripted_timestamp, entry.transcripted_timestamp),
                'told': told.transcripted_timestamp::varchar,
                'shown': entry.transcripted_timestamp::varchar
            },
            {
                'column_name': 'client_duration_ms',
                'differs': abs(told.client_duration_ms - entry.client_duration_ms) >= 1000,
                'told': told.client_duration_ms::varchar,
                'shown': entry.client_duration_ms::varchar
            },
            {
                'column_name': 'in_reply_to_entry_identifier',
                'differs': other_subject(told.in_reply_to_entry_identifier, entry.in_reply_to_entry_identifier),
                'told': told.in_reply_to_entry_identifier,
                'shown': entry.in_reply_to_entry_identifier
            },
            {
                'column_name': 'options',
                'differs': other_list(told.options, entry.options),
                'told': told.options::varchar,
                'shown': entry.options::varchar
            },
            {
                'column_name': 'selected_options',
                'differs': other_list(told.selected_options, entry.selected_options),
                'told': told.selected_options::varchar,
                'shown': entry.selected_options::varchar
            },
            {
                'column_name': 'links',
                'differs': other_list(told.links, entry.links),
                'told': told.links::varchar,
                'shown': entry.links::varchar
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
