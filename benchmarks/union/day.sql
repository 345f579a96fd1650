-- What four roads told of one day: entries $first to $first + $entries, in the canonical columns, as each road has them.

-- Conversations of forty entries, three seconds apart; of forty one is an offer and one its answer. Texts of 15 words,
-- payloads as published, about 350 bytes; identifiers are spread like the UUIDs that they are.
create or replace temp table entries as
with numbered as (
    select
        i,
        i // 40 as conversation,
        i % 40 = 4 as is_offer,
        i % 40 = 5 as is_answer,
        i % 3 = 1 as is_agent,
        i % 3 = 0 as is_bot,
        '0MwAA' || lpad((i // 40)::varchar, 10, '0') || 'AAA' as session_id,
        $day::timestamptz + to_milliseconds(((i // 40) * 97003) % 86000000 + (i % 40) * 3000) as said_at,
        array_to_string(
            list_transform(
                range(15),
                lambda place: [
                    'order', 'refund', 'parcel', 'delay', 'invoice', 'account', 'please', 'thanks', 'agent',
                    'customer', 'password', 'reset', 'delivery', 'window', 'address', 'update', 'card', 'payment',
                    'hello', 'sorry', 'check', 'it''s', 'ticket', 'number', 'email', 'phone', 'store', 'return',
                    'size', 'color'
                ][1 + (hash(i * 31 + place) % 30)::int]
            ),
            ' '
        ) as text
    from range($first, $first + $entries) as numbers(i)
)

select
    i,
    is_agent,
    session_id,
    md5(conversation::varchar)::uuid::varchar as conversation_identifier,
    md5((i * 7919)::varchar)::uuid::varchar as entry_identifier,
    'Message' as entry_type,
    case when is_offer then 'ChoicesMessage' when is_answer then 'ChoicesResponseMessage'
        else 'StaticContentMessage' end as message_type,
    case when is_offer then 'Buttons' when is_answer then 'Selections' else 'Text' end as format_type,
    text,
    case when is_agent then 'Agent' when is_bot then 'Chatbot' else 'EndUser' end as sender_role,
    case when is_agent then 'agent' when is_bot then 'chatbot' else 'messaging' end as sender_app_type,
    case when is_agent then '005AA' || lpad((conversation % 700)::varchar, 10, '0')
        when is_bot then '0XxAA0000000001'
        else '1555' || lpad((conversation % 10000000)::varchar, 7, '0') end as sender_subject,
    case when is_agent then 'Agent ' || conversation % 700 end as sender_display_name,
    said_at as client_timestamp,
    said_at + to_milliseconds(87) as transcripted_timestamp,
    0::bigint as client_duration_ms,
    'Messaging' as modality,
    'Default' as visibility,
    case when is_bot then [] else [session_id] end as related_records,
    null::varchar as messaging_session_id,
    null::varchar as voice_call_id,
    case when is_answer then md5(((i - 1) * 7919)::varchar)::uuid::varchar end as in_reply_to_entry_identifier,
    case when is_offer then [
        {'option_identifier': 'o1', 'title': 'Delivery'}, {'option_identifier': 'o2', 'title': 'Refund'}
    ] else [] end as options,
    case when is_answer then [{'option_identifier': 'o2', 'title': null::varchar}] else [] end as selected_options,
    []::struct(id varchar, name varchar, mime_type varchar, url varchar)[] as attachments,
    []::struct(title varchar, url varchar)[] as links,
    '{"entryType":"Message","id":"' || entry_identifier || '","abstractMessage":{"messageType":"' || message_type
        || '","id":"' || entry_identifier || '","inReplyToMessageId":null,"references":[],"staticContent":'
        || '{"formatType":"' || format_type || '","text":"' || text || '"}},"messageReason":null}' as payload
from numbered;

create or replace temp view entries_conversation_data as
select
    * exclude (i, is_agent, session_id),
    'conversation_data' as road,
    $day::timestamptz + to_hours(27) as fetched_at
from entries
where i < $first + $entries * 0.6
order by conversation_identifier, entry_identifier;

-- Agents by 18 characters; the entries of one conversation in a hundred without their identifiers.
create or replace temp view entries_data_cloud as
select
    * exclude (i, is_agent, session_id) replace (
        case when i // 40 % 100 = 7 then 'unnamed-' || md5(i::varchar) else entry_identifier end as entry_identifier,
        case when is_agent then sender_subject || 'AAA' else sender_subject end as sender_subject,
        [session_id] as related_records,
        session_id as messaging_session_id
    ),
    'data_cloud' as road,
    $day::timestamptz + to_hours(29) as fetched_at
from entries
where i >= $first + $entries * 0.2 and i < $first + $entries * 0.7
order by conversation_identifier, entry_identifier;

create or replace temp view entries_archive as
select
    * exclude (i, is_agent, session_id) replace (null::varchar as visibility),
    'archive' as road,
    $day::timestamptz + to_hours(144) as fetched_at,
    null::varchar as conversation_id,
    'export_1.zip' as archive,
    null::varchar as extra,
    null::timestamptz as missing_since
from entries
where i >= $first + $entries * 0.5 and i < $first + $entries * 0.9
order by conversation_identifier, entry_identifier;

-- Texts alone, some with HTML entities; one in a thousand was redacted since.
create or replace temp view entries_connect as
select
    * exclude (i, is_agent, session_id) replace (
        case when i % 1000 = 3 then '***' when i % 50 = 1 then replace(text, '''', '&#39;') else text end as text,
        null::varchar as sender_display_name,
        null::varchar as modality,
        null::varchar as visibility,
        [session_id] as related_records,
        null::varchar as in_reply_to_entry_identifier,
        [] as options,
        [] as selected_options,
        null::varchar as payload
    ),
    'connect' as road,
    $day::timestamptz + to_hours(168) as fetched_at
from entries
where i >= $first + $entries * 0.5
order by conversation_identifier, entry_identifier;

create or replace temp view messaging_sessions as
select
    session_id as id,
    conversation_identifier,
    min(client_timestamp) - to_seconds(1) as start_time,
    min(client_timestamp) - to_seconds(1) as created_date
from entries
group by all;

create or replace temp view conversations as
select '0dw' || id[4:] as id, conversation_identifier, created_date from messaging_sessions;

create or replace temp view conversation_participants as
select
    '0dx' || id[4:] as id,
    '0dw' || id[4:] as conversation_id,
    sender_subject as participant_key,
    'Customer of ' || id as participant_display_name,
    created_date as joined_time,
    created_date
from messaging_sessions
join (select distinct conversation_identifier, sender_subject from entries where sender_role = 'EndUser')
using (conversation_identifier);

create or replace temp view users as
select '005AA' || lpad(number::varchar, 10, '0') || 'AAA' as id, 'Agent ' || number as name
from range(700) as numbers(number);
