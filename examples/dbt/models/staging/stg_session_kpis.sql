-- One row per messaging session or voice call: figures by the definitions of docs/datasets.md.

with source as (
    select * from {{ source(target.name, 'session_kpis') }}
)

select
    interaction_id,
    queue_name,
    is_abandoned,
    is_deflected,
    is_contained,
    speed_to_answer_seconds,
    handle_seconds,
    average_agent_response_time
from source
