"""A shared server: who may enter, what a read-only one shows, and paths that are never opened."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from encoding import FitSpec
from encoding.jobs.tasks import study
from encoding.storage.store import StoreFull
from pages.parts.shared import access
from pages.parts.shared.access import PathRefused, ReadOnly, Tries, check_weights, is_allowed, is_password, may_change, password_hash
from pages.parts.shared.text import plain
from tests import PROJECT
from tests.conftest import TINY as TINY_QUARTER
from tests.conftest import TinySource
from tests.pages.conftest import NoWorkers

TINY = replace(TINY_QUARTER, split=FitSpec().split)  # AppTest cannot press on with a value that is not among the options
ROOT = PROJECT
VIEWS = sorted((ROOT / "pages" / "views").glob("[0-9]*.py"))
PASSWORD = "correct horse battery staple"
CHANGES = {  # keys of widgets that start, change or remove something; a page may have others, but none of these when it only shows
    *("fit", "cancel", "complete", "start_search", "cancel_search", "start_sweep", "cancel_sweep", "fetch", "occlude"),
    *("open", "examine", "prune", "verify", "import", "save_note", "home_fit", "again"),
}


@pytest.fixture(scope="module")
def hashed():
    return password_hash(PASSWORD)


@pytest.fixture
def app(tiny, open_page, monkeypatch):
    """The app over the planted data set, with no worker process."""
    for name in ("ENCODING_PASSWORD_HASH", "ENCODING_READ_ONLY", "ENCODING_SHARED", "ENCODING_ALLOWED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(access, "EVERYBODY", Tries(free=3, longest=5.0))
    return open_page("10_explore", dataset="tiny", subject="subj01", backbone="tinynet", layer="pixels", components="0")


def pressed(at, password):
    at.text_input(key="_password").set_value(password)
    next(button for button in at.button if button.label == "Enter").click()
    return at.run()


# ---- the password


def test_a_hash_knows_its_password_and_no_other(hashed):
    assert is_password(PASSWORD, hashed)
    assert not is_password(PASSWORD + " ", hashed) and not is_password("", hashed)
    assert PASSWORD not in hashed and password_hash(PASSWORD) != hashed, "salted"


@pytest.mark.parametrize(
    "damaged", ["", "secret", "scrypt:1:2:3", "md5:1:1:1:AAAA:AAAA", "scrypt:x:8:1:AAAA:AAAA", "scrypt:99999999999:8:1:AAAA:AAAA"]
)
def test_a_damaged_hash_lets_nobody_in(damaged):
    assert not is_password("", damaged) and not is_password("secret", damaged)


def test_the_command_makes_a_hash_of_what_is_typed():
    made = subprocess.run(
        [sys.executable, "-m", "pages.parts.shared.access"], input="geheim\n", capture_output=True, text=True, cwd=ROOT, check=True
    )
    name, _, value = made.stdout.strip().partition("=")
    assert name == "ENCODING_PASSWORD_HASH" and is_password("geheim", value) and "geheim" not in made.stdout


def test_nothing_is_shown_before_the_password(app, hashed, monkeypatch):
    monkeypatch.setenv("ENCODING_PASSWORD_HASH", hashed)
    app.run()
    assert not app.exception and not app.title and not app.selectbox
    pressed(app, "wrong")
    assert app.error[0].value == "That is not the password." and not app.title
    pressed(app, PASSWORD)
    assert not app.exception and [each.value for each in app.title] == ["How well does **pixels** of **tinynet** predict **subject 1**?"]
    assert app.run().title, "asked once in a session"


def test_wrong_tries_make_the_next_wait(app, hashed, monkeypatch):
    monkeypatch.setenv("ENCODING_PASSWORD_HASH", hashed)
    app.run()
    pressed(app, "one"), pressed(app, "two")
    pressed(app, PASSWORD)
    assert "Wait" in app.error[0].value and not app.title, "even the right one waits"


def test_waits_grow_and_are_forgotten():
    now = [0.0]
    tries = Tries(free=1, longest=10.0, clock=lambda: now[0])
    waits = []
    for _ in range(7):
        waits.append(tries.wait())
        tries.wrong()
    assert waits == [0, 0, 1, 2, 4, 8, 10]
    now[0] = 9.0
    assert tries.wait() == 1.0
    now[0] = access.FORGOTTEN_AFTER + 1
    assert tries.wait() == 0


def test_of_many_sessions_that_try_at_once_no_more_are_looked_at_than_are_free(hashed):
    everybody, looked_at = Tries(free=3, longest=5.0), []
    together = threading.Barrier(20)

    def session():
        together.wait()
        if access.begin_try(Tries(free=1, longest=60.0), everybody) == 0:
            looked_at.append(is_password("guess", hashed))

    threads = [threading.Thread(target=session) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert looked_at == [False] * 4, "the free ones, and the one whose wait begins"


def test_a_right_password_is_not_counted():
    everybody, mine = Tries(free=0, longest=5.0), Tries(free=0, longest=60.0)
    for _ in range(5):
        assert access.begin_try(mine, everybody) == 0
        access.forgive_try(mine, everybody)


@pytest.mark.parametrize("wrong", [ConnectionError("No Dask scheduler answers."), StoreFull("No room left."), OSError("No share.")])
@pytest.mark.parametrize("ask", ["submit", "retry"])
def test_a_job_that_cannot_be_started_is_an_error_on_the_page(ask, wrong, monkeypatch):
    class Unreachable(NoWorkers):
        def submit(self, task, spec, *, key, planned=None):
            raise wrong

        def retry(self, key):
            raise wrong

    errors = []
    monkeypatch.setattr(access.st, "error", errors.append)
    guarded = access.Guarded(Unreachable(None))
    assert (guarded.submit(study, TINY, key="a") if ask == "submit" else guarded.retry("a")) is None
    assert errors == [plain(wrong)]


def test_finished_fits_are_shown_without_a_scheduler(tiny, store, open_page):
    study(TINY, store)

    class Unreachable(NoWorkers):
        def start(self):
            raise ConnectionError("No Dask scheduler answers at tcp://a:1")

        submit = None

    at = open_page("10_explore", workers=Unreachable, dataset="tiny", subject="subj01", backbone="tinynet", layer="pixels", components="0")
    at.run()
    assert not at.exception and len(at.get("plotly_chart")) == 1


def test_a_new_session_does_not_escape_the_wait_of_the_server(app, hashed, monkeypatch):
    monkeypatch.setenv("ENCODING_PASSWORD_HASH", hashed)
    for _ in range(5):
        access.EVERYBODY.wrong()
    pressed(app.run(), PASSWORD)
    assert "wait" in app.error[0].value.lower() and not app.title


# ---- the login


@pytest.mark.parametrize(
    ("claims", "allowed", "expected"),
    [
        ({"email": "ada@lab.edu"}, "", True),
        ({"email": "ada@lab.edu", "email_verified": True}, "ada@lab.edu", True),
        ({"email": "ADA@Lab.edu", "email_verified": "true"}, " @lab.edu ", True),
        ({"email": "eve@notlab.edu", "email_verified": True}, "@lab.edu", False),
        ({"email": "eve@lab.edu.evil.org", "email_verified": True}, "@lab.edu", False),
        ({"email": "eve@evil.org@lab.edu", "email_verified": True}, "@lab.edu", False),
        ({"email": "ada@lab.edu"}, "@lab.edu", False),
        ({"email": "ada@lab.edu", "email_verified": None}, "@lab.edu", False),
        ({"email": "ada@lab.edu", "email_verified": "perhaps"}, "@lab.edu", False),
        ({"email": "ada@lab.edu", "email_verified": 0}, "@lab.edu", False),
        ({"email": "ada@lab.edu", "email_verified": False}, "@lab.edu", False),
        ({"email": "ada@lab.edu", "email_verified": "false"}, "@lab.edu", False),
        ({"sub": "1"}, "@lab.edu", False),
        ({"email": ""}, "@", False),
    ],
)
def test_only_those_on_the_list_are_let_in(claims, allowed, expected, monkeypatch):
    monkeypatch.delenv("ENCODING_UNVERIFIED_EMAIL", raising=False)
    assert is_allowed(claims, allowed) is expected


@pytest.mark.parametrize(("verified", "expected"), [(None, True), (True, True), (False, False), ("false", False), ("no", False)])
def test_an_operator_may_believe_addresses_of_which_nothing_is_said(verified, expected, monkeypatch):
    monkeypatch.setenv("ENCODING_UNVERIFIED_EMAIL", "1")
    assert is_allowed({"email": "ada@lab.edu"} | ({} if verified is None else {"email_verified": verified}), "@lab.edu") is expected


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ({"is_logged_in": False}, "Log in"),
        ({"is_logged_in": True, "email": "eve@evil.org", "email_verified": True}, "not on the list"),
        ({"is_logged_in": True, "email": "ada@lab.edu"}, "not on the list"),
        ({"is_logged_in": True, "email": "ada@lab.edu", "email_verified": True}, "How well"),
    ],
)
def test_streamlits_login_stands_before_every_page(app, monkeypatch, user, shown):
    app.secrets["auth"] = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": "x"}
    monkeypatch.setenv("ENCODING_ALLOWED", "@lab.edu")
    monkeypatch.setattr(access.st, "user", user)
    app.run()
    assert not app.exception
    told = [each.value for each in (*app.title, *app.error)] + [each.label for each in app.button]
    assert any(shown in text for text in told)
    assert bool(app.title) == (shown == "How well")


# ---- read-only


def test_switches_read_as_people_write_them(monkeypatch):
    for value, expected in {"1": False, "true": False, "yes": False, "0": True, "off": True, "": True, "False": True}.items():
        monkeypatch.setenv("ENCODING_READ_ONLY", value)
        assert may_change() is expected, value


@pytest.mark.parametrize("view", VIEWS, ids=lambda path: path.stem)
@pytest.mark.parametrize("empty", [True, False], ids=["empty", "with a fit"])
def test_no_page_of_a_read_only_server_starts_or_offers_anything(app, store, monkeypatch, view, empty):
    if not empty:
        study(TINY, store)
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    monkeypatch.setattr(type(_demo()), "is_ready", lambda self, subject, store: False)
    if view.stem.partition("_")[2] != "explore":
        for name in list(app.query_params):
            del app.query_params[name]
        app.switch_page(str(view.relative_to(ROOT)))
    app.run()
    assert not app.exception, app.exception[0].value
    offered = {each.key for each in (*app.button, *app.checkbox) if each.key in CHANGES and not each.disabled}
    assert not offered and NoWorkers.submitted == []


def _demo():
    from encoding import DATASETS

    return DATASETS["demo"]


def test_a_finished_fit_is_shown_and_the_missing_one_is_not_offered(app, store, monkeypatch):
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    app.run()
    assert any("only shows what is there" in each.value for each in app.info)
    study(TINY, store)
    app.run()
    assert not app.exception and len(app.get("plotly_chart")) == 1


def test_jobs_of_a_read_only_server_cannot_be_started_or_cancelled(monkeypatch):
    guarded = access.Guarded(NoWorkers(None))
    guarded.submit(study, TINY, key="a")
    monkeypatch.setenv("ENCODING_READ_ONLY", "1")
    with pytest.raises(ReadOnly, match="only shows what is there"):
        guarded.submit(study, TINY, key="b")
    with pytest.raises(ReadOnly):
        guarded.cancel("a")
    assert NoWorkers.specs() == [TINY] and guarded.get("a") is None


# ---- owners of jobs


class Owned(NoWorkers):
    """Remembers whose every request is."""

    asked: list = []

    def submit(self, task, spec, *, key, planned=None, optional=False, owner="nobody"):
        Owned.asked.append(("submit", owner))

    def cancel(self, key, *, owner="anybody"):
        Owned.asked.append(("cancel", owner))

    def retry(self, key, *, owner="nobody"):
        Owned.asked.append(("retry", owner))


@pytest.mark.parametrize(
    ("shared", "cookie", "login", "operators", "expected"),
    [
        ("", "a", None, "", ("nobody", "anybody", "nobody")),  # one person's server
        ("1", "a", None, "", ("ca978112ca1bbdca",) * 3),  # the browser's own cookie, as its digest
        ("1", None, None, "", ("s",) * 3),  # the session
        ("", "a", "ada@lab.edu", "", ("ada@lab.edu",) * 3),
        ("", "a", "ada@lab.edu", "bob@lab.edu", ("ada@lab.edu",) * 3),
        ("", "a", "ada@lab.edu", "ada@lab.edu", ("ada@lab.edu", "anybody", "ada@lab.edu")),
    ],
)
def test_jobs_of_a_shared_server_belong_to_who_started_them(monkeypatch, shared, cookie, login, operators, expected):
    from types import SimpleNamespace

    user = {"email": login, "email_verified": True}
    cookies = {"_streamlit_xsrf": cookie} if cookie else {}
    known = SimpleNamespace(user=user, context=SimpleNamespace(cookies=cookies), session_state={"_owner": "s"})
    monkeypatch.setattr(access, "st", known)
    monkeypatch.setattr(access, "asks_for_login", lambda: login is not None)
    monkeypatch.setenv("ENCODING_SHARED", shared)
    monkeypatch.setenv("ENCODING_OPERATORS", operators)
    Owned.asked = []
    guarded = access.Guarded(Owned(None))
    guarded.submit(study, TINY, key="a"), guarded.cancel("a"), guarded.retry("a")
    assert [owner for _, owner in Owned.asked] == list(expected)
    own = access.as_owner().get("owner", "")
    assert access.is_owner(own) == bool(own) and not access.is_owner("somebody else")
    assert access.may_cancel(own) and access.may_cancel("somebody else") == (not own or operators == login)


def test_a_browser_stays_the_owner_of_its_jobs_when_a_reload_masks_its_cookie_anew(monkeypatch):
    from types import SimpleNamespace

    from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

    def owner(token: bytes) -> str:
        cookies = {"_streamlit_xsrf": generate_xsrf_token_string(token)}
        monkeypatch.setattr(access, "st", SimpleNamespace(context=SimpleNamespace(cookies=cookies), session_state={}))
        return access.as_owner()["owner"]

    monkeypatch.setenv("ENCODING_SHARED", "1")
    monkeypatch.setattr(access, "asks_for_login", lambda: False)
    assert owner(bytes(range(16))) == owner(bytes(range(16))) != owner(bytes(range(1, 17)))


# ---- paths


@pytest.mark.parametrize("weights", ["/etc/passwd", "../x.pth", "~/w.safetensors", "C:\\w.pt", "file:///w", "randomly.pth", ""])
def test_no_path_is_taken_for_weights_on_a_shared_server(weights, monkeypatch):
    assert check_weights(weights) == weights
    monkeypatch.setenv("ENCODING_SHARED", "1")
    with pytest.raises(PathRefused, match="opens no file that is named in a page or a link"):
        check_weights(weights)
    assert check_weights("pretrained") and check_weights("random:3")


@pytest.mark.parametrize("view", ["10_explore", "30_layers"])
def test_a_link_to_a_file_is_refused_and_nothing_is_opened(app, monkeypatch, tmp_path, view):
    monkeypatch.setenv("ENCODING_SHARED", "1")
    monkeypatch.setattr(TinySource, "needs_weights", True)
    asked = []
    monkeypatch.setattr(TinySource, "is_ready", lambda self, network, weights: asked.append(weights) or True)
    monkeypatch.setattr(TinySource, "fingerprint", lambda self, network, weights: asked.append(weights) or "tiny-backbone")
    secret = tmp_path / "secret.pth"
    secret.write_bytes(b"secret")
    app.switch_page(f"pages/views/{view}.py")
    app.query_params.update({"weights": str(secret), "backbones": "tinynet"})
    app.run()
    assert not app.exception and any("are refused" in each.value for each in app.error)
    assert str(secret) not in asked and NoWorkers.submitted == []


def test_on_a_server_of_ones_own_a_path_may_be_typed(app, monkeypatch, tmp_path):
    monkeypatch.setattr(TinySource, "needs_weights", True)
    app.query_params["weights"] = str(tmp_path / "mine.pth")
    app.run()
    assert not app.exception and not any("are refused" in each.value for each in app.error)


def test_a_password_alone_makes_a_server_shared(hashed, monkeypatch):
    monkeypatch.setenv("ENCODING_PASSWORD_HASH", hashed)
    with pytest.raises(PathRefused):
        check_weights("/etc/passwd")
    assert check_weights(FitSpec().weights) == "pretrained"
