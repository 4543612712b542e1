"""Who does something, and who may change what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from portal.models import Role, User
from portal.runtime.fair_turns import never


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who acts, and their address: one value from the route to the audit trail."""

    account: User | None = None
    address: str = ""
    #: A name for somebody without an account: what the person typed, or the part that acts by
    #: itself.
    alias: str = ""
    #: Whether nobody waits for the answer any more: the browser has closed the connection.
    is_gone: Callable[[], bool] = field(default=never, compare=False)

    @property
    def user(self) -> User:
        """The account of somebody who has signed in."""
        assert self.account is not None  # noqa: S101 - routes admit nobody else
        return self.account

    @property
    def name(self) -> str:
        return self.account.username if self.account else self.alias

    def may(self, role: Role) -> bool:
        return self.account is not None and self.account.may(role)


#: The command line: anyone who can run it may do everything.
COMMAND_LINE = Actor()


def may_change(user_id: int, role: Role, owner_id: int) -> bool:
    """Returns whether the actor may cancel or retry a job: operators their own, admins every
    one."""
    return role.includes(Role.ADMIN) or (role.includes(Role.OPERATOR) and user_id == owner_id)
