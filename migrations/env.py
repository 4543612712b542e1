"""Alembic's entry: runs the revisions on the database that the settings name."""

from alembic import context

from portal import models  # noqa: F401 - fills the metadata
from portal.database import Base, connect


def run() -> None:
    engine = connect(context.config.attributes["url"])
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=Base.metadata, render_as_batch=True
        )
        with context.begin_transaction():
            if connection.dialect.name == "postgresql":
                # Several machines may start at once: the first migrates, the others find it done.
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236812)")
            context.run_migrations()
    engine.dispose()


run()
