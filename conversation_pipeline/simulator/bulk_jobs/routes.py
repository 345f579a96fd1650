"""Paths of Bulk API 2.0 query jobs below /services/data/vXX.0/jobs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from conversation_pipeline.simulator.bulk_jobs import wire
from conversation_pipeline.simulator.bulk_jobs.model import Dialect, Job, checked
from conversation_pipeline.simulator.endpoint import Endpoint, Handler, json_response
from conversation_pipeline.simulator.oauth.model import Session
from conversation_pipeline.simulator.org import Org
from conversation_pipeline.simulator.rest.wire import (
    DATA,
    authenticated,
    base_of,
    commanded,
    errors,
    not_found,
    version_of,
)
from conversation_pipeline.simulator.soql.grammar import parse

_MEMBERS = frozenset({"operation", "query", "contentType", "columnDelimiter", "lineEnding"})
_LINKS_A_PAGE = 5
"""Result links of one answer of /resultPages [doc]."""
WithJob = Callable[[Request, Job], Response]


def endpoints(org: Org) -> Iterable[Endpoint]:
    """The room of query jobs; every path is also there with a trailing slash."""
    room = _Room(org)

    def at(name: str, path: str, method: str, handler: Handler) -> Iterable[Endpoint]:
        for slash in ("", "/"):
            yield Endpoint(f"bulk_jobs.{name}", f"{DATA}/jobs{path}{slash}", (method,), handler)

    def job(name: str, path: str, handler: WithJob) -> Iterable[Endpoint]:
        yield from at(name, f"/query/{{job}}{path}", "GET", authenticated(org, room.with_job(handler)))

    yield from at("create", "/query", "POST", commanded(org, room.create))
    yield from at("list", "/query", "GET", authenticated(org, room.list))
    # The documentation's own sample of a list leads on to this path.
    yield from at("list", "/ingest", "GET", authenticated(org, room.list))
    yield from job("get", "", room.get)
    yield from job("results", "/results", room.results)
    yield from job("result_pages", "/resultPages", room.result_pages)
    yield from at("abort", "/query/{job}", "PATCH", commanded(org, room.abort))
    yield from at("delete", "/query/{job}", "DELETE", authenticated(org, room.with_job(room.delete)))


class _Room:
    def __init__(self, org: Org) -> None:
        self._org = org

    def with_job(self, handler: WithJob) -> Callable[[Request, Session], Response]:
        """A handler of one job; 404 when it never was or is no longer kept."""

        def handle(request: Request, _session: Session) -> Response:
            job = self._org.jobs.find(request.path_params["job"], self._org.clock.elapsed())
            if job is None:
                return not_found()
            return handler(request, job)

        return handle

    def create(self, request: Request, session: Session, asked: dict[str, Any]) -> Response:
        """POST /jobs/query, with the two members that are required or with all five."""
        refusal = self._refusal(asked)
        if refusal is not None:
            return refusal
        org, at = self._org, self._org.clock.elapsed()
        query = parse(asked["query"])
        sobject = checked(query, org.tables())
        if sobject in self._names("bulk_unsupported_objects"):
            return errors(400, "INVALIDENTITY", f"Entity '{sobject}' is not supported by the Bulk API.")
        if org.jobs.opened_in_a_day(at) >= org.limits.bulk_query_jobs:
            return errors(400, "LIMIT_EXCEEDED", "Maximum number of query jobs per rolling 24 hour window exceeded.")
        dialect = Dialect(asked.get("columnDelimiter", "COMMA"), asked.get("lineEnding", "LF"))
        now = org.clock.now
        job = Job(org.jobs.identify(), asked["operation"], query, sobject, dialect, session.client.user_id, now,
                  version_of(request), at, changed_at=now)  # fmt: skip
        org.jobs.open(job)
        answer = wire.created(job)
        self._move(job, polled=False)
        return json_response(answer)

    def _refusal(self, asked: dict[str, Any]) -> Response | None:
        unknown = sorted(set(asked) - _MEMBERS)
        if unknown:
            return errors(400, "JSON_PARSER_ERROR", f'Unrecognized field "{unknown[0]}" at [line:1]')
        if not isinstance(asked.get("query"), str) or not asked["query"].strip():
            return errors(400, "INVALIDJOB", "InvalidJob : No query specified")
        choices = {"operation": ("query", "queryAll"), "contentType": ("CSV",), "columnDelimiter": wire.DELIMITERS,
                   "lineEnding": wire.LINE_ENDINGS}  # fmt: skip
        for name, accepted in choices.items():
            if (name in asked or name == "operation") and asked.get(name) not in accepted:
                return errors(400, "INVALIDJOB", f"InvalidJob : {name} is one of {', '.join(accepted)}")
        return None

    def get(self, _request: Request, job: Job) -> Response:
        """A poll, which moves the job on."""
        self._move(job, polled=True)
        return json_response(wire.shown(job))

    def list(self, request: Request, _session: Session) -> Response:
        """Every job that is kept, in no order that means anything, 1,000 a page."""
        org, asked = self._org, request.query_params
        start = wire.first_row(asked.get("queryLocator"))
        if start is None:
            return errors(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        jobs = [job for job in org.jobs.all(org.clock.elapsed()) if _wanted(job, request)]
        random.Random(org.seed.seed).shuffle(jobs)
        end = start + int(org.switches["bulk_list_rows"])
        done = end >= len(jobs)
        following = None if done else f"{base_of(request)}/jobs/ingest?queryLocator={wire.locator(end)}"
        for job in jobs[start:end]:
            self._move(job, polled=False)
        records = [wire.shown(job) for job in jobs[start:end]]
        return json_response({"done": done, "records": records, "nextRecordsUrl": following})

    def results(self, request: Request, job: Job) -> Response:
        """One page as CSV; `Sforce-Locator` leads to the next and is the text `null` on the last."""
        refusal = self._unreadable(request, job)
        if refusal is not None:
            return refusal
        start, rows = wire.first_row(request.query_params.get("locator")), self._page_rows(request)
        if start is None or start > len(job.values):
            return errors(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        if rows is None:
            return errors(400, "API_ERROR", "maxRecords has to be a number above 0")
        end = min(len(job.values), start + rows)
        headers = {
            "sforce-locator": wire.locator(end) if end < len(job.values) else "null",
            "sforce-numberofrecords": str(end - start),
        }
        body = wire.csv(job, start, end, self._spelling())
        return StreamingResponse(body, headers=headers, media_type="text/csv; charset=UTF-8")

    def result_pages(self, request: Request, job: Job) -> Response:
        """Links to result pages that can be read at the same time, in the shape that the switch says."""
        shape = self._org.switches["bulk_result_pages"]
        if shape == "absent" or job.sobject in self._names("bulk_result_pages_absent"):
            return not_found()
        refusal = self._unreadable(request, job)
        if refusal is not None:
            return refusal
        start, rows = wire.first_row(request.query_params.get("locator")), self._page_rows(request)
        if start is None or rows is None:
            return errors(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        firsts = list(range(start, max(len(job.values), start + 1), rows))
        own = f"/jobs/query/{job.id}"
        links = [f"{own}/results?locator={wire.locator(row)}&maxRecords={rows}" for row in firsts[:_LINKS_A_PAGE]]
        done = len(firsts) <= _LINKS_A_PAGE
        following = None if done else (
            f"{base_of(request)}{own}/resultPages?locator={wire.locator(firsts[_LINKS_A_PAGE])}&maxRecords={rows}"
        )  # fmt: skip
        if shape == "resultChunks":
            content: dict[str, Any] = {"resultChunks": [{"resultLink": link} for link in links]}
            return json_response(content | {"nextRecordsUrl": following, "done": done})
        whole = [{"resultUrl": base_of(request) + link} for link in links]
        if shape == "resultpages":
            return json_response({"resultpages": whole, "nextRecordUrl": following, "done": done})
        return json_response({"resultPages": whole, "nextRecordsUrl": following, "done": done})

    def abort(self, request: Request, session: Session, asked: dict[str, Any]) -> Response:
        """PATCH {"state": "Aborted"}; only a job that has not ended."""

        def handle(_request: Request, job: Job) -> Response:
            if asked.get("state") != "Aborted":
                return errors(400, "INVALIDJOB", "InvalidJob : the only state to ask for is Aborted")
            self._move(job, polled=False)
            if not job.running:
                return errors(400, "INVALIDJOBSTATE", "Aborting already Completed Job not allowed")
            job.abort(self._org.clock.now, self._org.clock.elapsed())
            return json_response(wire.shown(job))

        return self.with_job(handle)(request, session)

    def delete(self, _request: Request, job: Job) -> Response:
        """204; only a job that has ended."""
        self._move(job, polled=False)
        if job.running:
            return errors(400, "API_ERROR", "The job is not terminated: abort it before it is deleted")
        self._org.jobs.delete(job)
        return Response(status_code=204)

    def _move(self, job: Job, *, polled: bool) -> None:
        """What has happened to a job by now: it is complete when it was polled often enough and is old enough."""
        org, switches = self._org, self._org.switches
        after_polls = int(switches["bulk_after_polls"])
        due = job.poll(after_polls) if polled else job.polls >= after_polls
        if job.running and due and org.clock.elapsed() - job.opened >= switches["bulk_after_seconds"]:
            shuffle = f"{org.seed.seed}/{job.id}" if switches["bulk_row_order"] == "shuffled" else None
            job.complete(
                org.tables(), org.clock.elapsed(), most_rows=int(switches["bulk_timeout_rows"]), shuffle=shuffle
            )

    def _unreadable(self, request: Request, job: Job) -> Response | None:
        self._move(job, polled=False)
        if job.api_version != version_of(request):
            message = f"The job was created with API version {job.api_version}: read its results with the same"
            return errors(409, "INVALIDVERSION", message)
        if job.state != "JobComplete":
            return errors(400, "INVALIDJOBSTATE", f"Results are there in state JobComplete, the job is {job.state}")
        return None

    def _page_rows(self, request: Request) -> int | None:
        most = int(self._org.switches["bulk_page_rows"])
        asked = request.query_params.get("maxRecords")
        if asked is None:
            return most
        return min(most, int(asked)) if asked.isdecimal() and int(asked) > 0 else None

    def _spelling(self) -> wire.Spelling:
        switches = self._org.switches
        return wire.Spelling(switches["bulk_int_with_point"], switches["bulk_datetime_zone"],
                             '""' if switches["bulk_null_quoted"] else "", switches["bulk_empty_header"])  # fmt: skip

    def _names(self, switch: str) -> set[str]:
        return {name.strip() for name in str(self._org.switches[switch]).split(",")}


def _wanted(job: Job, request: Request) -> bool:
    asked = request.query_params
    told = {"jobType": "V2Query", "concurrencyMode": "parallel", "isPkChunkingEnabled": str(job.pk_chunking).lower()}
    return all(asked.get(name, value).lower() == value.lower() for name, value in told.items())
