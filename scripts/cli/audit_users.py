"""dataspace audit user: who may read the regulator's pages, in a file of the home."""

import secrets
from pathlib import Path
from typing import Annotated

import typer

from audit.errors import RequestError
from audit.pages.users import Role as UserRole
from audit.pages.users import User, Users, UsersFile
from capsule.password import SALT_SIZE, PasswordMark
from node.home import write_whole
from scripts.cli.console import HomeOption, JsonOption, fail, show, told, typed
from scripts.cli.exits import EXIT_INPUT
from scripts.cli.printing import tabulate

__all__ = ["app", "users_path"]

app = typer.Typer(no_args_is_help=True, help="Who may read the regulator's pages.")

DEFAULT_HOME = Path(".dataspace")
NameArgument = Annotated[str, typer.Argument(help="The user's name.")]


def users_path(home: Path) -> Path:
    """The users' file of a home."""
    return home / "audit-users.json"


@app.command()
def add(
    name: NameArgument,
    role: Annotated[
        UserRole, typer.Option(help="viewer reads the pages; auditor also exports and calls the JSON API.")
    ] = UserRole.VIEWER,
    password_file: Annotated[Path | None, typer.Option(help="File whose first line is the password.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Add a user, or give one another role and password. A running service takes it up at once."""
    with told():
        mark = PasswordMark.make(_password(password_file), secrets.token_bytes(SALT_SIZE))
        _write(home, _users(home).with_user(User(name, role, mark)))
        show({"user": name, "role": role.value}, as_json)


@app.command()
def remove(name: NameArgument, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Remove a user; open sessions end. The last one stays: without users everybody reads."""
    with told():
        users = _users(home)
        left = users.without(name)
        if not left.by_name:
            raise RequestError(
                f"{name} is the last user, and without users everybody who reaches the pages reads them; add another "
                f"one first, or stop the service and delete {users_path(home)}"
            )
        _write(home, left)
        show({"removed": name}, as_json)


@app.command("list")
def list_users(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Names and roles."""
    with told():
        users = sorted(_users(home).by_name.items())
        rows = [(name, user.role.value) for name, user in users]
        content = {"users": [{"name": name, "role": role} for name, role in rows]}
        show(content, as_json, lambda: tabulate(("name", "role"), rows, f"{len(rows)} users"))


def _users(home: Path) -> Users:
    if not home.is_dir():
        raise RequestError(f"there is no home at {home}; make one with 'dataspace org join' first")
    return UsersFile(users_path(home)).read()


def _write(home: Path, users: Users) -> None:
    write_whole(users_path(home), users.to_bytes(), mode=0o600)


def _password(file: Path | None) -> str:
    if file is None:
        return typed("password", "give --password-file", confirm=True)
    try:
        return file.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        fail(f"no password can be read from {file}; give a file whose first line is the password", EXIT_INPUT)
