-- One row per entry that a person reads, as text: what was said, with choices, files and links spelt out.

with spoken as (
    select
        *,
        -- A road may leave out the name of a sender whom it names in other entries of the conversation.
        coalesce(
            sender_display_name,
            case when sender_subject is not null
                then arg_max(sender_display_name, transcripted_timestamp)
                    over (partition by conversation_identifier, sender_subject, sender_role) end
        ) as known_name,
        list_transform(list_filter(options, lambda option: option.title is not null), lambda option: option.title)
            as option_titles,
        list_transform(
            attachments,
            lambda file: case
                when file.name is not null then '[file] ' || file.name
                when regexp_matches(file.mime_type, '^(image|video|audio)/')
                    then '[' || split_part(file.mime_type, '/', 1) || ']'
                else '[file] ' || coalesce(file.mime_type, file.url, 'unnamed')
            end
        ) as files,
        list_transform(
            list_filter(links, lambda link: link.url is not null or link.title is not null),
            -- A link's title is often the very words beside it.
            lambda link: '[link] '
                || concat_ws(' ', case when link.url is null or link.title is distinct from text then link.title end, link.url)
        ) as shown_links
    from conversation_entries
    where message_type is not null
      and entry_type is distinct from 'MessageUpdated'  -- the message that it updates is a row already
),

rendered as (
    select
        *,
        nullif(
            concat_ws(
                chr(10),
                text,
                case when len(option_titles) > 0
                    then array_to_string(list_transform(option_titles, lambda title: '( ) ' || title), chr(10)) end,
                case when len(files) > 0 then array_to_string(files, chr(10)) end,
                case when len(shown_links) > 0 then array_to_string(shown_links, chr(10)) end
            ),
            ''
        ) as shown,
        -- What has no words is called by what it is: of static content the format, else the message; in small words.
        lower(regexp_replace(
            case when message_type = 'StaticContentMessage' then coalesce(format_type, 'Message')
                else regexp_replace(message_type, '(.)Message$', '\1') end,
            '([a-z])([A-Z])', '\1 \2', 'g'
        )) as what_it_is
    from spoken
)

select
    conversation_identifier,
    entry_identifier,
    transcripted_timestamp as sent_at,
    messaging_session_id,
    voice_call_id,
    sender_role,
    coalesce(
        known_name,
        case
            when sender_role = 'EndUser' then 'Customer'
            when sender_role in ('Chatbot', 'DigitalWorker') then 'Bot'
            else coalesce(sender_role, 'Unknown')
        end
    ) as sender_name,
    coalesce(shown, '[' || what_it_is || ']') as text,
    case
        when entry_type = 'Note' then 'note'
        when entry_type in ('FlagRaise', 'FlagLower') then 'flag'
        when message_type = 'ChoicesMessage' then 'choices'
        when message_type = 'ChoicesResponseMessage' then 'selection'
        when message_type in ('FormMessage', 'FormResponseMessage') then 'form'
        when message_type like 'Authentication%' then 'authentication'
        when message_type like 'Payment%' then 'payment'
        when format_type in ('Attachments', 'Media') then 'attachment'
        when format_type in ('RichLink', 'Links', 'WebView') then 'link'
        when format_type in ('ExternalTemplate', 'MessageDefinition') then 'template'
        when message_type = 'StaticContentMessage' and format_type in ('Text', 'ExtendedText') then 'text'
        else 'other'
    end as kind,
    -- Archives and Connect do not tell it.
    coalesce(modality, case when voice_call_id is not null then 'Voice' else 'Messaging' end) as modality,
    coalesce(visibility, 'Default') = 'Internal' as is_internal,
    in_reply_to_entry_identifier
from rendered
order by conversation_identifier, entry_identifier
