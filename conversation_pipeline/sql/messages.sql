-- One row per entry that a person reads, as text: what was said, with choices, files and links spelt out.

with spoken as (
    select
        *,
        list_transform(list_filter(options, lambda option: option.title is not null), lambda option: option.title)
            as option_titles,
        list_transform(attachments, lambda file: '[file] ' || coalesce(file.name, file.mime_type, file.url, 'unnamed'))
            as files,
        list_transform(
            list_filter(links, lambda link: link.url is not null or link.title is not null),
            lambda link: '[link] ' || concat_ws(' ', link.title, link.url)
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
        ) as shown
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
        sender_display_name,
        case sender_role
            when 'EndUser' then 'Customer'
            when 'Chatbot' then 'Bot'
            else sender_role
        end
    ) as sender_name,
    coalesce(shown, '[' || coalesce(format_type, message_type) || ']') as text,
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
    coalesce(modality, 'Messaging') as modality,
    coalesce(visibility, 'Default') = 'Internal' as is_internal,
    in_reply_to_entry_identifier
from rendered
order by conversation_identifier, entry_identifier
