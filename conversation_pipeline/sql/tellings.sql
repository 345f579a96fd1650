-- What the roads told of one day, and which tellings are of the same entry: what conversation_entries and
-- entry_conflicts have in common. An entry is known by (conversation_identifier, entry_identifier); roads by their
-- precedence, the fuller the lower: 1 Conversation Data API, 2 Data Cloud, 3 archive, 4 Connect.
--
-- Keys are looked at first, in few narrow columns; what is wide is joined to them later.

-- Spellings. What is equal after these is told alike.

-- Entities as Connect writes them (X-Chatter-Entity-Encoding), and white space as exports may fold it. Most texts have
-- neither, which is quickly seen.
create temp macro unescaped(words) as case
    when contains(words, '&') then
        replace(replace(replace(replace(replace(replace(
            words, '&#39;', ''''), '&#92;', '\'), '&quot;', '"'), '&lt;', '<'), '&gt;', '>'), '&amp;', '&')
    else words
end;

create temp macro folded_space(words) as case
    when contains(words, '  ') or contains(words, chr(9)) or contains(words, chr(10)) or contains(words, chr(13)) then
        regexp_replace(words, '\s+', ' ', 'g')
    else words
end;

create temp macro as_read(words) as trim(folded_space(unescaped(words)));

create temp macro other_words(words, others) as
    words <> others
    and as_read(words) <> as_read(others)
    and words <> as_read(others)
    and as_read(words) <> others;

-- END_USER, End User and EndUser.
create temp macro folded(name) as lower(replace(replace(name, '_', ''), ' ', ''));

-- Record ids with 15 and with 18 characters, identifiers in upper and lower case.
create temp macro as_named(subject) as case
    when regexp_matches(subject, '^[a-zA-Z0-9]{15}([A-Z0-5]{3})?$') then left(subject, 15)
    else lower(subject)
end;

-- Keys are compared by 64 bits of each of their two parts: two entries of one conversation that share them are to be
-- expected once in ten thousand million days of ten million entries.
create temp macro key_of(identifier) as hash(identifier);

create temp macro set_of(precedence) as 1::utinyint << precedence;

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
create temp view tellings_of_all as
select *, 1::utinyint as precedence, fetched_at as as_of from entries_conversation_data
union all by name
select *, 2::utinyint as precedence, fetched_at - interval 1 hour as as_of
from entries_data_cloud
anti join conversation_of on conversation_of.record_id = entries_data_cloud.conversation_identifier
union all by name
select
    entries_data_cloud.* replace (conversation_of.conversation_identifier as conversation_identifier),
    2::utinyint as precedence,
    fetched_at - interval 1 hour as as_of
from entries_data_cloud
join conversation_of on conversation_of.record_id = entries_data_cloud.conversation_identifier
union all by name
select * exclude (conversation_id, archive, extra, missing_since), 3::utinyint as precedence, fetched_at as as_of
from entries_archive
union all by name
select *, 4::utinyint as precedence, fetched_at as as_of from entries_connect;

-- Of the conversations that are united this time: a long day goes range by range (storage/models.py), since nothing of one
-- conversation has to do with another.
create temp view tellings as
select *
from tellings_of_all
where (getvariable('first_conversation') is null or conversation_identifier >= getvariable('first_conversation'))
  and (getvariable('end_conversation') is null or conversation_identifier < getvariable('end_conversation'));

-- Entries that several roads told by the same identifier; a road has each of its entries once. Minima and maxima of
-- numbers alone: they take a fifth of the time of arg_min and the like.
create temp table told_by_several as
with said as (
    select
        key_of(conversation_identifier) as conversation,
        key_of(entry_identifier) as entry,
        precedence,
        epoch_ms(as_of) as as_of,
        case when text is not null then hash(unescaped(text)) end as words
    from tellings
)

select
    conversation,
    entry,
    min(precedence) as shown,
    bit_or(set_of(precedence)) as roads,
    -- Their words differ, and the fullest road was not read last.
    min(words) <> max(words) and max(as_of) > (min(precedence::bigint << 44 | as_of) & ((1::bigint << 44) - 1))
        as may_be_redacted
from said
group by conversation, entry
having count(*) > 1;

-- Tellings without the entry's own identifier: the road told none, or Data Cloud one of its own. They are matched with
-- entries of other roads by conversation, time, sender and text (by type, where there is no text). Times count as the
-- same up to 2 seconds apart: roads tell milliseconds or whole seconds, cut or rounded, which makes a second at most;
-- two leave room for both, and nobody says the same twice on purpose in so short a time. Of equal texts in such a run the
-- first is matched with the first, the second with the second: none is lost, and no two of one road become one.
create temp macro tolerance() as interval 2 seconds;

create temp macro says(text, entry_type) as coalesce('text ' || as_read(text), 'type ' || folded(entry_type));

create temp macro other_sender(role, other_role, subject, other_subject) as
    coalesce(folded(role) <> folded(other_role), false) or coalesce(as_named(subject) <> as_named(other_subject), false);

create temp table unnamed as
with candidates as (
    select *, key_of(conversation_identifier) as conversation, key_of(entry_identifier) as entry
    from tellings
    where starts_with(entry_identifier, 'unnamed-') or (precedence = 2 and length(entry_identifier) <> 36)
)

select
    precedence,
    conversation,
    entry,
    conversation_identifier,
    entry_identifier,
    transcripted_timestamp,
    coalesce(client_timestamp, transcripted_timestamp) as client_timestamp,
    -- A conversation of which a road tells no client's time throughout is compared by the server's.
    bool_or(client_timestamp is null) over (partition by precedence, conversation_identifier) as by_server,
    sender_role,
    sender_subject,
    says(text, entry_type) as says
from candidates
anti join told_by_several using (conversation, entry);

-- Conversations that take a closer look: with such tellings, or with words that may have been taken back.
create temp table looked_at as
with in_question as (
    select conversation from unnamed
    union
    select conversation from told_by_several where may_be_redacted
),

conversations as (
    select conversation_identifier
    from (select distinct conversation_identifier from tellings)
    semi join in_question on in_question.conversation = key_of(conversation_identifier)
)

select
    precedence,
    key_of(conversation_identifier) as conversation,
    key_of(entry_identifier) as entry,
    conversation_identifier,
    entry_identifier,
    transcripted_timestamp,
    client_timestamp,
    sender_role,
    sender_subject,
    entry_type,
    text,
    road,
    fetched_at,
    as_of
from tellings
semi join conversations using (conversation_identifier);

create temp table renamed as
with in_question as (
    select precedence, conversation_identifier, says, any_value(by_server) as by_server
    from unnamed
    where says is not null
    group by all
),

-- Of each entry that has a name the fullest telling, where it says what an unnamed one says.
named as (
    select
        looked_at.* replace (coalesce(client_timestamp, transcripted_timestamp) as client_timestamp),
        says(text, entry_type) as says,
        coalesce(told_by_several.roads, set_of(precedence)) as roads
    from looked_at
    anti join unnamed using (precedence, conversation, entry)
    left join told_by_several using (conversation, entry)
    where coalesce(told_by_several.shown = precedence, true)
),

candidates as (
    select
        in_question.precedence,
        named.conversation_identifier,
        named.entry_identifier,
        true as has_name,
        case when by_server then transcripted_timestamp else client_timestamp end as said_at,
        sender_role,
        sender_subject,
        says,
        roads,
        named.precedence as shown
    from named
    join in_question using (conversation_identifier, says)
    where roads & set_of(in_question.precedence) = 0

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
        set_of(precedence),
        precedence
    from unnamed
    where says is not null
),

begun as (
    select
        *,
        coalesce(said_at - lag(said_at) over in_order > tolerance(), true) as begins
    from candidates
    window in_order as (
        partition by precedence, conversation_identifier, says order by said_at, has_name, entry_identifier
    )
),

runs as (
    select
        *,
        count_if(begins) over (
            partition by precedence, conversation_identifier, says order by said_at, has_name, entry_identifier
        ) as run
    from begun
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
      and not other_sender(telling.sender_role, entry.sender_role, telling.sender_subject, entry.sender_subject)
),

-- What no road has a name for is matched among the roads in the same way, and goes by the fullest one's identifier.
left_over as (
    select *, coalesce(transcripted_timestamp - lag(transcripted_timestamp) over in_order > tolerance(), true) as begins
    from unnamed
    anti join (select precedence, conversation_identifier, told_identifier as entry_identifier from matched)
        using (precedence, conversation_identifier, entry_identifier)
    where says is not null
    window in_order as (
        partition by conversation_identifier, says order by transcripted_timestamp, precedence, entry_identifier
    )
),

left_over_runs as (
    select
        *,
        count_if(begins) over (
            partition by conversation_identifier, says order by transcripted_timestamp, precedence, entry_identifier
        ) as run
    from left_over
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
    set_of(leader.precedence),
    leader.precedence
from left_over_places as telling
join leaders as leader using (conversation_identifier, says, run, place)
where telling.precedence > leader.precedence
  and not other_sender(telling.sender_role, leader.sender_role, telling.sender_subject, leader.sender_subject);

-- Entries that several roads told, whichever way that was found out.
create temp table shared as
with renamed_entries as (
    select
        key_of(conversation_identifier) as conversation,
        key_of(entry_identifier) as entry,
        least(min(precedence), min(shown)) as shown,
        bit_or(set_of(precedence)) | bit_or(roads) as roads
    from renamed
    group by conversation_identifier, entry_identifier
)

select conversation, entry, shown, roads
from told_by_several
anti join renamed_entries using (conversation, entry)
union all
select conversation, entry, shown, roads from renamed_entries;

-- Redacted upstream: under the same identifier and time a poorer road, read later, has another text. That is what is
-- shown until the fuller road has been read again.
create temp table retold as
with tellings_of_redacted as (
    select looked_at.*, told_by_several.shown
    from looked_at
    join told_by_several using (conversation, entry)
    where told_by_several.may_be_redacted and looked_at.text is not null
),

-- The newest counts, of equally new ones the fuller.
newest as (
    select *
    from tellings_of_redacted
    qualify row_number() over (partition by conversation, entry order by as_of desc, precedence) = 1
)

select
    newest.conversation,
    newest.entry,
    newest.road,
    newest.text,
    newest.fetched_at
from newest
join tellings_of_redacted as fullest
    on fullest.conversation = newest.conversation
    and fullest.entry = newest.entry
    and fullest.precedence = newest.shown
where newest.as_of > fullest.as_of
  and other_words(newest.text, fullest.text)
  and date_trunc('second', newest.transcripted_timestamp) = date_trunc('second', fullest.transcripted_timestamp);
