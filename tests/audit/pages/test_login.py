"""Who gets in: sessions, roles, forms that no other site can send, and too many failures."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from audit.errors import LoginError, RequestError, StoreError, ThrottledError
from audit.pages.attempts import Attempts
from audit.pages.door import inside
from audit.pages.sessions import Sessions
from audit.pages.users import Role, User, Users, UsersFile
from tests.audit.pages.reading import PASSWORD, Clock, Reading, form_of, log_in, mark_of, reading
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History

EXPORT = "/export/findings.csv"


def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_without_users_everybody_reads_and_the_page_says_so(open_site: Reading) -> None:
    with open_site.client() as client:
        assert "no user is set up" in client.get("/").text
        assert client.get(EXPORT).status_code == 200
        assert client.get("/v1/report").status_code == 200


def test_with_users_nobody_reads_before_logging_in(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        page = client.get("/findings?severity=high")
        part = client.get("/events/rows", headers={"hx-request": "true"})
        answers = {
            client.get(address).status_code
            for address in ("/trails/use/0x12", EXPORT, "/uses", "/search?q=91", "/events/unchecked")
        }
        report, events = client.get("/v1/report"), client.get("/v1/events")
        health = client.get("/healthz").json()

    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Ffindings%3Fseverity%3Dhigh")
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?next=%2Fevents%2Frows")
    assert answers == {303}
    assert (report.status_code, report.headers["www-authenticate"]) == (401, 'Basic realm="dataspace audit"')
    assert events.status_code == 401
    assert health.keys() == {"ok", "block", "indexed", "final", "behind", "asked_seconds_ago"}


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_reader_who_hangs_up_half_way_leaves_no_trace_in_the_log(site: Reading, path: str) -> None:
    site.add_user("li.na", Role.VIEWER)
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/x-www-form-urlencoded")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    scope |= {"client": ("127.0.0.1", 9), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1"}
    coming = iter(({"type": "http.request", "body": b"name=li", "more_body": True}, {"type": "http.disconnect"}))
    answers: list[Any] = []

    async def receive() -> Any:
        return next(coming)

    async def send(message: Any) -> None:
        answers.append(message)

    asyncio.run(site.app(scope, receive, send))  # what it raises, a server writes down with its trace

    assert answers[0]["status"] == 400
    with site.client() as client:
        assert client.get("/").status_code == 303


def test_viewer_reads_and_does_not_take_away(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client(**{"accept-language": "en"}) as client:
        answer = log_in(client, "li.na", next="/fleet")
        page = client.get("/")
        export = client.get(EXPORT)
        report = client.get("/v1/report")

    assert (answer.status_code, answer.headers["location"]) == (303, "/fleet")
    assert "li.na · viewer" in page.text
    assert "/export/" not in page.text
    assert export.status_code == 403
    assert "role auditor" in export.text
    assert report.status_code == 403


def test_auditor_takes_away_by_session_and_by_password(site: Reading) -> None:
    site.add_user("zhang.wei", Role.AUDITOR)
    with site.client() as client:
        log_in(client, "zhang.wei")
        assert client.get(EXPORT).status_code == 200
        assert client.get("/v1/report").status_code == 200
    with site.client() as client:
        assert client.get("/v1/report", headers=basic("zhang.wei", PASSWORD)).status_code == 200
        assert client.get("/v1/report", headers=basic("zhang.wei", "wrong password")).status_code == 401
        assert client.get("/v1/report", headers={"authorization": "Basic ?"}).status_code == 401
        assert client.get("/").status_code == 303


def test_cookie_is_for_this_site_and_no_script(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        cookie = log_in(client, "li.na").headers["set-cookie"]

    assert cookie.startswith("dataspace_session=")
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=28800"):
        assert attribute in cookie
    assert "Secure" not in cookie


def test_behind_a_proxy_cookies_are_secure_and_failures_are_the_clients(
    tmp_path: Path, space: DataSpace, crooked_history: History
) -> None:
    site = reading(tmp_path, space, crooked_history, behind_proxy=True, names=("audit.example",))
    site.add_user("li.na", Role.VIEWER)
    with site.client(host="audit.example") as client:
        page = client.get("/login")
        form = {"form": form_of(page.text), "name": "li.na", "password": PASSWORD}
        seed = page.cookies["dataspace_form"]
        far = {"x-forwarded-for": "9.9.9.9, 203.0.113.7", "cookie": f"dataspace_form={seed}"}
        wrong = [client.post("/login", data={**form, "password": "x"}, headers=far).status_code for _ in range(6)]
        near = {"x-forwarded-for": "203.0.113.7, 198.51.100.1", "cookie": f"dataspace_form={seed}"}
        answer = client.post("/login", data=form, headers=near)
    site.desk.close()

    assert wrong == [403] * 5 + [429]
    assert answer.status_code == 303
    assert answer.headers["set-cookie"].startswith("__Host-dataspace_session=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


def test_head_is_answered_as_get_without_content(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        login, inside = client.head("/login"), client.head("/findings")
        log_in(client, "li.na")
        page, missing, sent = client.head("/findings"), client.head("/nothing"), client.request("DELETE", "/login")

    assert (login.status_code, login.content) == (200, b"")
    assert login.headers["content-type"].startswith("text/html")
    assert "content-security-policy" in login.headers
    assert (inside.status_code, inside.headers["location"]) == (303, "/login?next=%2Ffindings")
    assert (page.status_code, page.content) == (200, b"")
    assert (missing.status_code, sent.status_code) == (404, 405)


def test_wrong_name_and_wrong_password_get_the_same_answer(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        answers = [log_in(client, name, "not the password") for name in ("li.na", "nobody", "<b>", "")]
        assert {answer.status_code for answer in answers} == {403}
        assert all("Name or password is wrong." in answer.text for answer in answers)
        assert client.get("/").status_code == 303


def test_too_many_failures_are_not_looked_at_for_a_while(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        for _ in range(5):
            assert log_in(client, "li.na", "not the password").status_code == 403
        refused = log_in(client, "li.na")
        api = client.get("/v1/report", headers=basic("li.na", PASSWORD))
        site.clock.now += 301
        later = log_in(client, "li.na")

    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 300
    assert api.status_code == 429
    assert 0 < int(api.headers["retry-after"]) <= 300
    assert later.status_code == 303


def test_form_of_another_site_does_not_log_in(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    content = {"name": "li.na", "password": PASSWORD}
    with site.client() as client:
        forged = [client.post("/login", data={**content, "form": form}) for form in ("", "x", "é")]
        token = form_of(client.get("/login").text)
    with site.client() as other:
        moved = other.post("/login", data={**content, "form": token})

    assert {answer.status_code for answer in (*forged, moved)} == {403}
    assert not any("dataspace_session" in answer.headers.get("set-cookie", "") for answer in (*forged, moved))


def test_logging_out_ends_the_session_for_good(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        log_in(client, "li.na")
        token = client.cookies["dataspace_session"]
        forged = client.post("/logout", data={"form": "x"})
        still = client.get("/").status_code
        answer = client.post("/logout", data={"form": form_of(client.get("/").text)})
    with site.client(cookie=f"dataspace_session={token}") as thief:
        again = thief.get("/")
        twice = thief.post("/logout", data={"form": "x"})

    assert (forged.status_code, still) == (403, 200)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert again.status_code == 303
    assert (twice.status_code, twice.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("change", ["time", "password", "role", "removed"])
def test_session_ends_with_its_time_and_with_its_user(site: Reading, change: str) -> None:
    site.add_user("li.na", Role.VIEWER)
    site.add_user("other", Role.VIEWER)
    with site.client() as client:
        log_in(client, "li.na")
        assert client.get("/").status_code == 200
        if change == "time":
            site.clock.now += 8 * 3600
        elif change == "role":
            site.add_user("li.na", Role.AUDITOR)
        elif change == "removed":
            site.remove_users("li.na")
        else:
            known = UsersFile(site.users).read()
            user = User("li.na", Role.VIEWER, mark_of("another password"))
            site.users.write_bytes(known.with_user(user).to_bytes())
        assert client.get("/").status_code == 303


def test_changed_tokens_are_nobodys() -> None:
    clock, drawn = Clock(), iter(range(1, 99))
    sessions = Sessions(lambda size: next(drawn).to_bytes(size, "big"), clock)
    user = User("li.na", Role.VIEWER, mark_of(PASSWORD))
    users = Users.of([user])
    token = sessions.issue(user)
    payload, _, signature = token.partition(".")

    assert sessions.read(token, users).user == user
    forgeries = (
        "",
        ".",
        "a.b",
        payload,
        f"{payload}.",
        f"{payload[:-2]}AA.{signature}",
        f"{token}=",
        "é.é",
        token * 50,
    )
    for forged in forgeries:
        with pytest.raises(LoginError):
            sessions.read(forged, users)
    with pytest.raises(LoginError):
        sessions.check_form("logout", "id", sessions.form_token("login", "id"))


def test_users_file_that_does_not_read_lets_nobody_in(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        log_in(client, "li.na")
        assert client.get("/").status_code == 200
        site.users.write_bytes(b"{}")
        assert client.get("/").status_code == 500
        site.users.unlink()
        assert client.get("/").status_code == 500


def test_users_are_kept_in_one_form(tmp_path: Path) -> None:
    users = Users.of([User("b", Role.AUDITOR, mark_of(PASSWORD)), User("a", Role.VIEWER, mark_of(PASSWORD))])
    path = tmp_path / "users.json"
    path.write_bytes(users.to_bytes())

    assert UsersFile(path).read() == users
    assert PASSWORD.encode() not in users.to_bytes()
    assert "mark=" not in repr(users)
    with pytest.raises(RequestError):
        users.without("c")
    with pytest.raises(RequestError):
        User("Li Na", Role.VIEWER, mark_of(PASSWORD))
    path.write_bytes(users.to_bytes().replace(b"auditor", b"emperor"))
    with pytest.raises(StoreError):
        UsersFile(path).read()


def test_failures_are_counted_by_name_and_address() -> None:
    clock = Clock()
    attempts = Attempts(clock, by_pair=2, by_address=4)
    for name in ("a", "a", "b", "c"):
        attempts.check(name, "1.1.1.1")
        attempts.failed(name, "1.1.1.1")

    attempts.check("a", "2.2.2.2")
    for name in ("a", "d"):
        with pytest.raises(ThrottledError):
            attempts.check(name, "1.1.1.1")
    attempts.passed("b", "1.1.1.1")
    with pytest.raises(ThrottledError):
        attempts.check("b", "1.1.1.1")
    clock.now += 300
    attempts.check("a", "1.1.1.1")


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/fleet?page=2", "/fleet?page=2"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("///evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: x", "/"),
        ("fleet", "/"),
        ("/login", "/"),
        ("", "/"),
    ],
)
def test_login_leads_nowhere_else(address: str, target: str) -> None:
    assert inside(address) == target


def test_forms_are_small_and_of_one_kind(site: Reading) -> None:
    site.add_user("li.na", Role.VIEWER)
    with site.client() as client:
        large = client.post("/login", data={"name": "a" * 5_000})
        other = client.post("/login", json={"name": "a"})
        odd = client.post("/login", content=b"\xff", headers={"content-type": "application/x-www-form-urlencoded"})
        many = client.post("/login", data={str(number): "" for number in range(20)})

    assert [answer.status_code for answer in (large, other, odd, many)] == [413, 400, 400, 400]
