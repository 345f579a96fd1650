-- One row per metric that Salesforce stores: its stored values against those that session_kpis computes.
--
-- Compared as the check metrics_agree_with_salesforce does: sessions that were told whole; no response is stored as 0.

with pairs as (
    select
        unnest([
            {metric: 'AgentMessageCount', computed: agent_message_count, stored: stored_agent_message_count},
            {metric: 'EndUserMessageCount', computed: end_user_message_count, stored: stored_end_user_message_count},
            {
                metric: 'AverageAgentResponseTime',
                computed: average_agent_response_time,
                stored: stored_average_agent_response_time
            },
            {
                metric: 'MaxAgentResponseTime',
                computed: max_agent_response_time,
                stored: stored_max_agent_response_time
            },
            {
                metric: 'AverageEndUserResponseTime',
                computed: average_end_user_response_time,
                stored: stored_average_end_user_response_time
            },
            {
                metric: 'MaxEndUserResponseTime',
                computed: max_end_user_response_time,
                stored: stored_max_end_user_response_time
            },
            {
                metric: 'ServiceRepFirstResponseTime',
                computed: service_rep_first_response_time,
                stored: stored_service_rep_first_response_time
            },
            {
                metric: 'ServiceRepAcceptToFirstResponseTime',
                computed: service_rep_accept_to_first_response_time,
                stored: stored_service_rep_accept_to_first_response_time
            }
        ], recursive := true)
    from session_kpis
    where is_told_whole
),

differences as (
    select metric, stored, abs(coalesce(computed, 0) - stored) as difference
    from pairs
)

select
    metric,
    count(stored) as compared,
    count(*) filter (
        difference <= case when ends_with(metric, 'Count') then 0 else $tolerance_seconds end
    ) as agreeing,
    round(max(difference), 3) as largest_difference
from differences
group by metric
order by metric
