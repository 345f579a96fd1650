-- One row per user of the org.

with source as (
    select * from {{ source(target.name, 'users') }}
)

select
    id as user_id,
    name as user_name,
    department,
    is_active
from source
