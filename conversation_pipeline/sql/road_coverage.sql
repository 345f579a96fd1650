-- One row per entry road in use: what it was expected to tell of the day from $day_start to $day_end, told, and lacks.
--
-- Expected are the conversations on the work list. What a road lacks shows by what the others told: an entry of the
-- union is told by a road, or it cannot have it (and why), or could not have it yet when it was read, or it is missing.

with expected as (
    select conversation_identifier, settled_at
    from conversation_activity
),

read_last as (
    select road, conversation_identifier, max(fetched_at) as read_at
    from (
        select road, conversation_identifier, fetched_at from entries_conversation_data
        union all
        select road, conversation_identifier, fetched_at from entries_connect
    )
    group by all
),

entries_by_road as (
    select
        roads_in_use.road,
        entries.conversation_identifier,
        entries.transcripted_timestamp,
        list_contains(entries.roads_seen, roads_in_use.road) as is_told,
        case
            -- Connect, Conversation Entry: messageText of static content of type text; of bots, as documented, none.
            when roads_in_use.road = 'connect' and (
                entries.entry_type is distinct from 'Message'
                or entries.message_type is distinct from 'StaticContentMessage'
                or entries.format_type is distinct from 'Text'
            ) then 'Connect tells texts alone'
            when roads_in_use.road = 'connect' and entries.sender_role = 'Chatbot' then 'Connect need not tell what bots say'
            -- Messaging Object Model: types of the stored entry, without these of the API.
            when roads_in_use.road = 'data_cloud' and entries.entry_type in (
                'MessageUpdated', 'ConversationUpdated', 'SendTranscriptRequestReceived', 'ModalityConnection',
                'TransferProgress', 'ParticipantsConferenced'
            ) then 'Data Cloud does not store entries of this type'
            when roads_in_use.road = 'archive' and due_until is null then 'no archive was landed'
            -- A call's entries are stored once it has ended.
            when roads_in_use.road = 'archive' and due_until < case
                when entries.modality = 'Voice' then greatest(entries.transcripted_timestamp, expected.settled_at)
                else entries.transcripted_timestamp
            end then 'said after the newest archive was taken'
        end as beyond_reach,
        case
            -- Asked conversation by conversation: all of one that had settled; of others, what came before the reading.
            when is_asked and not is_read then false
            when is_asked and coalesce(expected.settled_at, $day_end) <= due_until then false
            when is_asked then entries.transcripted_timestamp >= coalesce(read_last.read_at, '-infinity'::timestamptz)
            when entries.modality = 'Voice'
                then greatest(entries.transcripted_timestamp, expected.settled_at)
                    >= coalesce(due_until, '-infinity'::timestamptz)
            else entries.transcripted_timestamp >= coalesce(due_until, '-infinity'::timestamptz)
        end as is_not_yet_visible
    from conversation_entries as entries
    cross join roads_in_use
    left join expected using (conversation_identifier)
    left join read_last
        on read_last.road = roads_in_use.road
        and read_last.conversation_identifier = entries.conversation_identifier
),

-- Each entry is one of these: told, beyond reach, not yet visible, missing.
judged as (
    select
        * exclude (beyond_reach, is_not_yet_visible),
        case when not is_told then beyond_reach end as beyond_reach,
        not is_told and beyond_reach is null and is_not_yet_visible as is_not_yet_visible,
        not is_told and beyond_reach is null and not is_not_yet_visible as is_missing
    from entries_by_road
),

entries_of_conversations as (
    select
        road,
        conversation_identifier,
        count(*) filter (is_told) as told,
        count(*) filter (is_missing) as missing
    from judged
    group by all
),

conversations as (
    select
        roads_in_use.road,
        expected.conversation_identifier,
        case
            when entries.told > 0 then 'read'
            when unread.is_due or entries.missing > 0 then 'missing'
            when not unread.is_due then 'not due'
            when not is_asked and (due_until is null or expected.settled_at > due_until) then 'not due'
            else 'read'
        end as outcome,
        entries.conversation_identifier is null as is_silent
    from expected
    cross join roads_in_use
    left join entries_of_conversations as entries using (road, conversation_identifier)
    left join conversations_unread as unread using (road, conversation_identifier)
),

conversation_counts as (
    select
        road,
        count(*) as conversations_expected,
        count(*) filter (outcome = 'read') as conversations_read,
        count(*) filter (outcome = 'missing') as conversations_missing,
        count(*) filter (outcome = 'not due') as conversations_not_due,
        count(*) filter (outcome = 'read' and is_silent) as conversations_silent,
        coalesce(
            list(conversation_identifier order by conversation_identifier) filter (outcome = 'missing'), []
        ) as missing_conversations
    from conversations
    group by road
),

not_listed as (
    select road, count(*) as conversations_not_listed
    from entries_of_conversations
    anti join expected using (conversation_identifier)
    where told > 0
    group by road
),

entry_counts as (
    select
        road,
        max(transcripted_timestamp) filter (is_told) as newest_entry_at,
        count(*) filter (is_told) as entries,
        count(*) as entries_of_all_roads,
        count(*) filter (is_missing) as entries_missing,
        count(*) filter (is_not_yet_visible) as entries_not_yet_visible,
        count(beyond_reach) as entries_beyond_reach
    from judged
    group by road
),

conflicts as (
    select road, count(distinct (conversation_identifier, entry_identifier)) as entries_conflicting
    from entry_conflicts
    group by road
),

reasons as (
    select
        road,
        list(struct_pack(reason := beyond_reach, entries := entries) order by entries desc, beyond_reach) as beyond_reach
    from (select road, beyond_reach, count(*) as entries from judged where beyond_reach is not null group by all)
    group by road
),

counted as (
    select
        roads_in_use.* exclude (is_asked, due_until),
        coalesce(conversations_expected, 0) as conversations_expected,
        coalesce(conversations_read, 0) as conversations_read,
        coalesce(conversations_missing, 0) as conversations_missing,
        coalesce(conversations_not_due, 0) as conversations_not_due,
        coalesce(conversations_silent, 0) as conversations_silent,
        coalesce(conversations_not_listed, 0) as conversations_not_listed,
        coalesce(missing_conversations, []) as missing_conversations,
        newest_entry_at,
        coalesce(entries, 0) as entries,
        coalesce(entries_of_all_roads, 0) as entries_of_all_roads,
        coalesce(entries_missing, 0) as entries_missing,
        coalesce(entries_not_yet_visible, 0) as entries_not_yet_visible,
        coalesce(entries_beyond_reach, 0) as entries_beyond_reach,
        coalesce(reasons.beyond_reach, []) as beyond_reach,
        coalesce(entries_conflicting, 0) as entries_conflicting
    from roads_in_use
    left join conversation_counts using (road)
    left join not_listed using (road)
    left join entry_counts using (road)
    left join reasons using (road)
    left join conflicts using (road)
)

select
    counted.* exclude (entries_read),
    $day_start as coverage_date,
    -- When a day was first seen closed is what the mart remembers of itself.
    coalesce(before.closed_at, case when counted.is_closed then coalesce(counted.visible_until, $day_end) end)
        as closed_at,
    -- By the road's own file: the union may be behind it when the day is first seen closed.
    coalesce(before.entries_at_close, case when counted.is_closed then counted.entries_read end) as entries_at_close,
    greatest(0, counted.entries_read - before.entries_at_close) as entries_late
from counted
left join coverage_before as before using (road)
order by road
