-- One row per conversation entry: the roads' tellings of one day, each entry once.
--
-- The fuller road wins, within a road the newest reading. Sessions and calls come from the entry's related records,
-- else from the one that was going on; names from the entry, else from the conversation's participants, else (of agents)
-- from the org's users.

with tellings as (
    select *, 1 as precedence from entries_conversation_data
    union all by name
    select *, 2 as precedence from entries_data_cloud
    union all by name
    select * exclude (conversation_id, archive, extra, missing_since), 3 as precedence from entries_archive
    union all by name
    select *, 4 as precedence from entries_connect
),

entries as (
    select
        *,
        list_distinct(list(road) over same_entry) as roads
    from tellings
    window same_entry as (partition by conversation_identifier, entry_identifier)
    qualify row_number() over (
        partition by conversation_identifier, entry_identifier order by precedence, fetched_at desc
    ) = 1
),

related as (
    select distinct conversation_identifier, entry_identifier, unnest(related_records) as record_id
    from entries
),

-- Told by their key prefixes, whether the record is in the lake or began before it.
related_session as (
    select conversation_identifier, entry_identifier, min(record_id) as id
    from related
    where starts_with(record_id, '0Mw')
    group by all
),

related_call as (
    select conversation_identifier, entry_identifier, min(record_id) as id
    from related
    where starts_with(record_id, '0LQ')
    group by all
),

sessions as (
    select id, conversation_identifier, coalesce(start_time, created_date) as started_at
    from messaging_sessions
),

calls as (
    select id, conversation_identifier, coalesce(call_start_date_time, created_date) as started_at
    from voice_calls
),

-- Entries name their sender as participants are keyed; who joined twice is called what they were called last.
participants as (
    select
        conversations.conversation_identifier,
        joined.participant_key as sender_subject,
        arg_max(joined.participant_display_name, coalesce(joined.joined_time, joined.created_date)) as name
    from conversation_participants as joined
    join conversations on conversations.id = joined.conversation_id
    semi join entries on entries.conversation_identifier = conversations.conversation_identifier
    where trim(joined.participant_display_name) <> ''
    group by all
),

-- Choices are often made after midnight of the day on which they were offered.
offered as (
    select distinct conversation_identifier, entry_identifier, unnest(options, recursive := true)
    from entries_of_two_days
),

titles as (
    select conversation_identifier, entry_identifier, option_identifier, min(title) as title
    from offered
    where option_identifier is not null and title is not null
    group by all
),

-- Menus may use the same identifiers for other choices: without the message that was answered, only an identifier
-- that ever had one title names it.
titles_without_message as (
    select conversation_identifier, option_identifier, min(title) as title
    from titles
    group by all
    having count(distinct title) = 1
),

chosen as (
    select
        conversation_identifier,
        entry_identifier,
        in_reply_to_entry_identifier,
        unnest(selected_options, recursive := true),
        generate_subscripts(selected_options, 1) as place
    from entries
),

-- A selection may come without its title; the choice that was offered has it.
named_choices as (
    select
        chosen.conversation_identifier,
        chosen.entry_identifier,
        list(
            struct_pack(
                option_identifier := chosen.option_identifier,
                title := coalesce(chosen.title, titles.title, titles_without_message.title)
            )
            order by chosen.place
        ) as selected_options,
        string_agg(coalesce(chosen.title, titles.title, titles_without_message.title), ', ' order by chosen.place)
            as text
    from chosen
    left join titles
        on titles.conversation_identifier = chosen.conversation_identifier
        and titles.entry_identifier = chosen.in_reply_to_entry_identifier
        and titles.option_identifier = chosen.option_identifier
    left join titles_without_message
        on titles_without_message.conversation_identifier = chosen.conversation_identifier
        and titles_without_message.option_identifier = chosen.option_identifier
    group by chosen.conversation_identifier, chosen.entry_identifier
)

select
    entries.* exclude (
        precedence, roads, messaging_session_id, voice_call_id, sender_display_name, selected_options, text
    ),
    case when entries.format_type = 'Selections' and entries.message_type is distinct from 'FormResponseMessage'
        then coalesce(named_choices.text, entries.text) else entries.text end as text,
    coalesce(named_choices.selected_options, entries.selected_options) as selected_options,
    coalesce(
        related_session.id,
        case when related_call.id is null and entries.modality is distinct from 'Voice' then session_going_on.id end
    ) as messaging_session_id,
    coalesce(
        related_call.id,
        case when related_session.id is null and session_going_on.id is null then call_going_on.id end
    ) as voice_call_id,
    coalesce(entries.sender_display_name, participants.name, users.name) as sender_display_name,
    list_sort(entries.roads) as roads_seen
from entries
left join related_session using (conversation_identifier, entry_identifier)
left join related_call using (conversation_identifier, entry_identifier)
left join named_choices using (conversation_identifier, entry_identifier)
-- What was going on when the entry was received: the latest session or call that had begun, with the leeway that
-- whole-second record times need.
asof left join sessions as session_going_on
    on session_going_on.conversation_identifier = entries.conversation_identifier
    and session_going_on.started_at <= entries.transcripted_timestamp + to_seconds(1)
asof left join calls as call_going_on
    on call_going_on.conversation_identifier = entries.conversation_identifier
    and call_going_on.started_at <= entries.transcripted_timestamp + to_seconds(1)
left join participants using (conversation_identifier, sender_subject)
left join users
    on entries.sender_app_type = 'agent'
    and left(users.id, 15) = left(entries.sender_subject, 15)
order by conversation_identifier, entry_identifier
