-- What the roads told of one day, and which tellings are of the same entry: what conversation_entries and
-- entry_conflicts have in common. An entry is known by (conversation_identifier, entry_identifier); roads by their
-- precedence, the fuller the lower: 1 Conversation Data API, 2 Data Cloud, 3 archive, 4 Connect.
--
-- Keys are looked at first, in few narrow columns; what is wide is joined to them later.

-- Spellings. What is equal after these is told alike.

-- Entities as Connect writes them (X-Chatter-Entity-Encoding), and white space as exports may fold it.
create temp macro as_read(words) as trim(regexp_replace(
    replace(replace(replace(replace(replace(replace(
        words, '&#39;', ''''), '&#92;', '\'), '&quot;', '"'), '&lt;', '<'), '&gt;', '>'), '&amp;', '&'),
    '\s+', ' ', 'g'
));
create temp macro other_words(words, others) as
    words <> others and as_read(words) <> as_read(others)
    and words <> as_read(others) and as_read(words) <> others;

-- END_USER, End User and EndUser.
create temp macro folded(name) as lower(replace(replace(name, '_', ''), ' ', ''));

-- Record ids with 15 and with 18 characters, identifiers in upper and lower case.
create temp macro as_named(subject) as
    case when regexp_matches(subject, '^[a-zA-Z0-9]{15}([A-Z0-5]{3})?$') then left(subject, 15) else lower(subject) end;

-- Entries of conversations that Data Cloud did not know yet go by a record id there.
create temp table conversation_of as
with unresolved as (
    select distinct conversation_identifier as record_id
    from entries_data_cloud
    where length(conversation_identifier) = 18 and starts_with(conversation_identifier, '0')
),

known as (
    select id, conversation_identifier from conversations
    union all
    select id, conversation_identifier from messaging_sessions
    union all
    select id, conversation_identifier from voice_calls
)

select record_id, min(known.conversation_identifier) as conversation_identifier
from unresolved
join known on known.id = record_id
where known.conversation_identifier is not null
group by all;

-- as_of: what the road tells is as old as that. Data Cloud shows what was up to an hour ago.
create temp view tellings as
select *, 1::utinyint as precedence, fetched_at as as_of from entries_conversation_data
union all by name
select
    entries_data_cloud.* replace (
        coalesce(conversation_of.conversation_identifier, entries_data_cloud.conversation_identifier)
            as conversation_identifier
    ),
    2::utinyint as precedence,
    fetched_at - interval 1 hour as as_of
from entries_data_cloud
left join conversation_of on conversation_of.record_id = entries_data_cloud.conversation_identifier
union all by name
select * exclude (conversation_id, archive, extra, missing_since), 3::utinyint as precedence, fetched_at as as_of
from entries_archive
union all by name
select *, 4::utinyint as precedence, fetched_at as as_of from entries_connect;

-- Entries that several roads told by the same identifier. A road has each of its entries once. retold_by: a poorer road
-- that was read later than the fullest one, and whose text may be another one.
create temp table told_by_several as
with said as (
    select
        conversation_identifier,
        entry_identifier,
        precedence,
        epoch_ms(as_of) as as_of,
        case when text is not null then hash(text) end as words,
        -- The newest counts, of equally new ones the fuller.
        case when text is not null then epoch_ms(as_of) * 8 - precedence end as rank
    from tellings
)

select
    conversation_identifier,
    entry_identifier,
    min(precedence) as shown,
    bit_or(1::utinyint << precedence) as roads,
    case when arg_min_null(words, precedence) <> arg_max(words, rank)
        and arg_max(as_of, rank) > arg_min(as_of, precedence)
        then arg_max(precedence, rank) end as retold_by
from said
group by conversation_identifier, entry_identifier
having count(*) > 1;

-- Tellings without the entry's own identifier: the road told none, or Data Cloud one of its own.
create temp table unnamed as
select
    precedence,
    conversation_identifier,
    entry_identifier,
    transcripted_timestamp,
    client_timestamp,
    sender_role,
    sender_subject,
    entry_type,
    coalesce('text ' || as_read(text), 'type ' || folded(entry_type)) as says
from tellings
anti join told_by_several using (conversation_identifier, entry_identifier)
where starts_with(entry_identifier, 'unnamed-') or (precedence = 2 and length(entry_identifier) <> 36);

-- They are matched with entries of other roads by conversation, time, sender and text (by type, where there is no
-- text). Times count as the same up to 2 seconds apart: roads tell milliseconds or whole seconds, cut or rounded, which
-- makes a second at most; two leave room for both, and nobody says the same twice on purpose in so short a time. Of
-- equal texts in such a run the first is matched with the first, the second with the second: none is lost, and no two
-- of one road become one.
create temp macro senders_differ(role, other_role, subject, other_subject) as
    coalesce(folded(role) <> folded(other_role), false) or coalesce(as_named(subject) <> as_named(other_subject), false);

create temp table renamed as
with in_question as (
    -- By the server's time where a road tells no client's of some entry of the conversation.
    select precedence, conversation_identifier, bool_or(client_timestamp is null) as by_server
    from unnamed
    group by all
),

named as (
    select
        conversation_identifier,
        entry_identifier,
        bit_or(1::utinyint << precedence) as roads,
        min(precedence) as shown,
        arg_min(transcripted_timestamp, precedence) as transcripted_timestamp,
        arg_min(coalesce(client_timestamp, transcripted_timestamp), precedence) as client_timestamp,
        arg_min(sender_role, precedence) as sender_role,
        arg_min(sender_subject, precedence) as sender_subject,
        coalesce(arg_min('text ' || as_read(text), precedence), arg_min('type ' || folded(entry_type), precedence))
            as says
    from tellings
    semi join in_question using (conversation_identifier)
    anti join unnamed using (precedence, conversation_identifier, entry_identifier)
    group by conversation_identifier, entry_identifier
),

candidates as (
    select
        in_question.precedence,
        conversation_identifier,
        entry_identifier,
        true as has_name,
        case when by_server then transcripted_timestamp else client_timestamp end as said_at,
        sender_role,
        sender_subject,
        says,
        roads,
        shown
    from named
    join in_question using (conversation_identifier)
    where roads & (1::utinyint << in_question.precedence) = 0

    union all

    select
        precedence,
        conversation_identifier,
        entry_identifier,
        false,
        case when by_server then transcripted_timestamp else client_timestamp end,
        sender_role,
        sender_subject,
        says,
        1::utinyint << precedence,
        precedence
    from unnamed
    join in_question using (precedence, conversation_identifier)
),

begins as (
    select
        *,
        coalesce(said_at - lag(said_at) over in_order > interval 2 seconds, true) as is_first
    from candidates
    where says is not null
    window in_order as (
        partition by precedence, conversation_identifier, says order by said_at, has_name, entry_identifier
    )
),

runs as (
    select
        *,
        count_if(is_first) over (
            partition by precedence, conversation_identifier, says order by said_at, has_name, entry_identifier
        ) as run
    from begins
),

places as (
    select
        *,
        row_number() over (
            partition by precedence, conversation_identifier, says, run, has_name
            order by said_at, sender_role, entry_identifier
        ) as place
    from runs
),

matched as (
    select
        telling.precedence,
        telling.conversation_identifier,
        telling.entry_identifier as told_identifier,
        entry.entry_identifier,
        entry.roads,
        entry.shown
    from places as telling
    join places as entry using (precedence, conversation_identifier, says, run, place)
    where not telling.has_name
      and entry.has_name
      and not senders_differ(telling.sender_role, entry.sender_role, telling.sender_subject, entry.sender_subject)
),

-- What no road has a name for is matched among the roads in the same way, and goes by the fullest one's identifier.
left_over as (
    select *
    from unnamed
    anti join matched
        on matched.precedence = unnamed.precedence
        and matched.conversation_identifier = unnamed.conversation_identifier
        and matched.told_identifier = unnamed.entry_identifier
    where says is not null
),

left_over_begins as (
    select
        *,
        coalesce(transcripted_timestamp - lag(transcripted_timestamp) over in_order > interval 2 seconds, true)
            as is_first
    from left_over
    window in_order as (
        partition by conversation_identifier, says order by transcripted_timestamp, precedence, entry_identifier
    )
),

left_over_runs as (
    select
        *,
        count_if(is_first) over (
            partition by conversation_identifier, says order by transcripted_timestamp, precedence, entry_identifier
        ) as run
    from left_over_begins
),

left_over_places as (
    select
        *,
        row_number() over (
            partition by precedence, conversation_identifier, says, run
            order by transcripted_timestamp, sender_role, entry_identifier
        ) as place
    from left_over_runs
),

leaders as (
    select *
    from left_over_places
    qualify row_number() over (partition by conversation_identifier, says, run, place order by precedence) = 1
)

select * from matched
union all
select
    telling.precedence,
    conversation_identifier,
    telling.entry_identifier,
    leader.entry_identifier,
    1::utinyint << leader.precedence,
    leader.precedence
from left_over_places as telling
join leaders as leader using (conversation_identifier, says, run, place)
where telling.precedence > leader.precedence
  and not senders_differ(telling.sender_role, leader.sender_role, telling.sender_subject, leader.sender_subject);

-- Entries that several roads told, whichever way that was found out.
create temp view shared as
select * from told_by_several anti join renamed using (conversation_identifier, entry_identifier)
union all by name
select
    conversation_identifier,
    entry_identifier,
    least(min(renamed.precedence), min(renamed.shown)) as shown,
    bit_or(1::utinyint << renamed.precedence) | bit_or(renamed.roads) as roads,
    any_value(told_by_several.retold_by) as retold_by
from renamed
left join told_by_several using (conversation_identifier, entry_identifier)
group by conversation_identifier, entry_identifier;

-- Redacted upstream: under the same identifier and time a poorer road, read later, has another text. That is what is
-- shown until the fuller road has been read again.
create temp table retold as
with newer as (
    select tellings.*
    from tellings
    join told_by_several using (conversation_identifier, entry_identifier)
    where tellings.precedence = told_by_several.retold_by
),

older as (
    select tellings.*
    from tellings
    join told_by_several using (conversation_identifier, entry_identifier)
    where tellings.precedence = told_by_several.shown and told_by_several.retold_by is not null
)

select
    newer.conversation_identifier,
    newer.entry_identifier,
    newer.precedence,
    newer.road,
    newer.text,
    newer.payload,
    newer.fetched_at
from newer
join older using (conversation_identifier, entry_identifier)
where other_words(newer.text, older.text)
  and date_trunc('second', newer.transcripted_timestamp) = date_trunc('second', older.transcripted_timestamp);
