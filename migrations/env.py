"""Alembic's entry: runs the revisions on the database that the settings name."""

from alembic import context
from sqlalchemy import event

from portal import models  # noqa: F401 - fills the metadata
from portal.db.session import Base, connect
from portal.runtime import stopping

#: Of SQLite's machine, between two looks whether the process was asked to end.
_STEPS = 100_000


def run() -> None:
    engine = connect(context.config.attributes["url"])
    # Whoever is asked to end takes all of it back: between two statements, or in a long one.
    event.listen(engine, "before_cursor_execute", lambda *_: stopping.raise_if_requested())
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=True,
            # SQLite's are too, though Alembic believes otherwise: all revisions, or none.
            transactional_ddl=True,
        )
        if connection.dialect.name == "sqlite":
            connection.connection.driver_connection.set_progress_handler(
                lambda: stopping.requested() is not None, _STEPS
            )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                # Several machines may start at once: the first migrates, the others find it done.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236812)")
            context.run_migrations()
    engine.dispose()


run()
