-- One row per conversation entry: the roads' tellings of one day, each entry once.
--
-- The fuller road's telling is shown; within a road the newest is all that there is. Which tellings are of one entry,
-- and what was redacted, is found out by tellings.sql. Sessions and calls come from the entry's related records, else
-- from the one that was going on; names and roles from the entry, else from the conversation's participants, names of
-- agents else from the org's users.

create temp macro named_record(ids, prefix) as
    list_min(list_filter(ids::varchar[], lambda id: starts_with(id, prefix)));

create temp table spoken_in as
select distinct conversation_identifier from tellings;

-- From when to when a session or call of the conversation was the latest that had begun, with the leeway that
-- whole-second record times need.
create temp table sessions as
select
    key_of(conversation_identifier) as conversation,
    id,
    coalesce(start_time, created_date) - to_seconds(1) as began_at,
    lead(began_at) over (partition by conversation_identifier order by began_at, id) as next_began_at
from messaging_sessions
semi join spoken_in using (conversation_identifier);

create temp table calls as
select
    key_of(conversation_identifier) as conversation,
    id,
    coalesce(call_start_date_time, created_date) - to_seconds(1) as began_at,
    lead(began_at) over (partition by conversation_identifier order by began_at, id) as next_began_at
from voice_calls
semi join spoken_in using (conversation_identifier);

-- Entries name their sender as participants are keyed; who joined twice is called what they were called last.
create temp table participants as
select
    key_of(conversations.conversation_identifier) as conversation,
    joined.participant_key as sender_subject,
    arg_max(joined.participant_display_name, coalesce(joined.joined_time, joined.created_date)) as name
from conversations
semi join spoken_in using (conversation_identifier)
join conversation_participants as joined on joined.conversation_id = conversations.id
where trim(joined.participant_display_name) <> ''
group by all;

-- Data Cloud's published mapping tells senders by their names alone: what the participant of that name was, and who.
create temp table roles as
select
    key_of(conversations.conversation_identifier) as conversation,
    joined.participant_display_name as name,
    min(replace(joined.participant_role, ' ', '')) as role,
    case when count(distinct joined.participant_key) = 1 then min(joined.participant_key) end as subject
from conversations
semi join spoken_in using (conversation_identifier)
join conversation_participants as joined on joined.conversation_id = conversations.id
where joined.participant_role is not null
group by all
having count(distinct joined.participant_role) = 1;

-- A selection may come without its title; the choice that was offered has it.
create temp table named_choices as
with chosen as (
    select
        precedence,
        conversation_identifier,
        entry_identifier,
        in_reply_to_entry_identifier,
        unnest(selected_options, recursive := true),
        generate_subscripts(selected_options, 1) as place
    from tellings
    where len(selected_options) > 0
),

-- Choices are often made after midnight of the day on which they were offered.
offered as (
    select distinct conversation_identifier, entry_identifier, unnest(options, recursive := true)
    from entries_of_two_days
    semi join chosen using (conversation_identifier)
    where len(options) > 0
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
)

select
    chosen.precedence,
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
group by chosen.precedence, chosen.conversation_identifier, chosen.entry_identifier;

-- Names of roads by the sets that shared knows.
with road_sets as (
    select
        roads::utinyint as roads,
        list_sort(list_filter(
            ['conversation_data', 'data_cloud', 'archive', 'connect'], lambda road, place: roads & (1 << place) > 0
        )) as roads_seen
    from range(2, 32, 2) as sets(roads)
),

entries as (
    select
        tellings.* replace (coalesce(renamed.entry_identifier, tellings.entry_identifier) as entry_identifier),
        tellings.entry_identifier as told_identifier
    from tellings
    left join renamed
        on renamed.precedence = tellings.precedence
        and renamed.conversation_identifier = tellings.conversation_identifier
        and renamed.told_identifier = tellings.entry_identifier
),

keyed as (
    select *, key_of(conversation_identifier) as conversation, key_of(entry_identifier) as entry
    from entries
),

shown as (
    select
        keyed.*,
        coalesce(shared.roads, set_of(keyed.precedence)) as roads,
        coalesce(named_record(related_records, '0Mw'), messaging_session_id) as named_session,
        coalesce(named_record(related_records, '0LQ'), voice_call_id) as named_call,
        -- Neither a session nor a call is named: it belongs to the one that was going on.
        case when named_session is null and named_call is null then keyed.conversation end as adrift
    from keyed
    left join shared
        on shared.conversation = keyed.conversation
        and shared.entry = keyed.entry
    where shared.shown is null or shared.shown = keyed.precedence
)

select
    shown.* exclude (
        precedence, as_of, conversation, entry, roads, told_identifier, named_session, named_call, adrift,
        messaging_session_id, voice_call_id, sender_role, sender_subject, sender_display_name, selected_options,
        text, payload
    ),
    case
        when retold.text is not null then retold.text
        when shown.format_type = 'Selections' and shown.message_type is distinct from 'FormResponseMessage'
            then coalesce(named_choices.text, shown.text)
        else shown.text
    end as text,
    -- The payload still has the words that were taken back.
    case when retold.text is null then shown.payload end as payload,
    coalesce(named_choices.selected_options, shown.selected_options) as selected_options,
    coalesce(
        shown.named_session,
        case when shown.named_call is null and shown.modality is distinct from 'Voice' then sessions.id end
    ) as messaging_session_id,
    coalesce(
        shown.named_call,
        case when shown.named_session is null and sessions.id is null then calls.id end
    ) as voice_call_id,
    coalesce(shown.sender_role, roles.role) as sender_role,
    coalesce(shown.sender_subject, roles.subject) as sender_subject,
    coalesce(shown.sender_display_name, participants.name, users.name) as sender_display_name,
    road_sets.roads_seen
from shown
join road_sets using (roads)
left join retold
    on retold.conversation = shown.conversation
    and retold.entry = shown.entry
left join named_choices
    on named_choices.precedence = shown.precedence
    and named_choices.conversation_identifier = shown.conversation_identifier
    and named_choices.entry_identifier = shown.told_identifier
left join sessions
    on sessions.conversation = shown.adrift
    and shown.transcripted_timestamp >= sessions.began_at
    and shown.transcripted_timestamp < coalesce(sessions.next_began_at, 'infinity')
left join calls
    on calls.conversation = shown.adrift
    and shown.transcripted_timestamp >= calls.began_at
    and shown.transcripted_timestamp < coalesce(calls.next_began_at, 'infinity')
left join participants
    on participants.conversation = case when shown.sender_display_name is null then shown.conversation end
    and participants.sender_subject = shown.sender_subject
left join roles
    on roles.conversation = case when shown.sender_role is null then shown.conversation end
    and roles.name = shown.sender_display_name
left join users
    on left(users.id, 15) = case when shown.sender_app_type = 'agent' and shown.sender_display_name is null
        then left(shown.sender_subject, 15) end
