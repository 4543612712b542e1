"""Names of the rooms that sockets are in. The server picks them; a client cannot ask for one."""

PROGRESS = "progress"
STATUS_CHANGE = "status_change"
TOPICS = (PROGRESS, STATUS_CHANGE)


def topic_room(topic: str) -> str:
    return f"topic:{topic}"


def session_room(session_id: int) -> str:
    return f"session:{session_id}"


def user_room(user_id: int) -> str:
    return f"user:{user_id}"


def role_room(role: str) -> str:
    return f"role:{role}"
