"""Databases on PostgreSQL that one test after another uses, each as the template was.

To make one takes 80 ms of processor time, to bring it back to what it was 10.
"""

from __future__ import annotations

import itertools

import psycopg
from psycopg import sql

from tests.support.parts import Postgres

#: A database with a longer table than this is not brought back: to drop it is quicker.
_MOST_ROWS = 1000

#: All but rows: whoever changes more than those gets a database that nobody uses after.
_SHAPE = """
    WITH ours AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
        SELECT concat_ws(' ', 'class', relname, relkind, relacl, reloptions, relpersistence,
            relowner) AS line FROM ours
        UNION ALL SELECT concat_ws(' ', 'column', relname, attnum, attname, atttypid, atttypmod,
            attnotnull, atthasdef) FROM ours JOIN pg_attribute ON ours.oid = attrelid AND attnum > 0
        UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname,
            pg_get_constraintdef(oid)) FROM pg_constraint
        UNION ALL SELECT concat_ws(' ', 'index', relname, indisvalid, pg_get_indexdef(indexrelid))
            FROM ours JOIN pg_index ON ours.oid = indexrelid
        UNION ALL SELECT concat_ws(' ', 'trigger', tgname, tgenabled) FROM pg_trigger
            WHERE NOT tgisinternal
        UNION ALL SELECT concat_ws(' ', 'internal', tgrelid::regclass, tgenabled, count(*))
            FROM pg_trigger WHERE tgisinternal GROUP BY tgrelid, tgenabled
        UNION ALL SELECT concat_ws(' ', 'function', proname) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', 'schema', nspname, nspacl) FROM pg_namespace
            WHERE nspname NOT LIKE 'pg_%'
        UNION ALL SELECT concat_ws(' ', 'extension', extname) FROM pg_extension
        UNION ALL SELECT concat_ws(' ', 'setting', setconfig) FROM pg_db_role_setting
        UNION ALL SELECT concat_ws(' ', 'limit', datconnlimit, datacl) FROM pg_database
            WHERE datname = current_database()
    ) AS lines
"""
_TABLES = """
    SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
_SEQUENCES = """
    SELECT sequencename, coalesce(last_value, start_value), last_value IS NOT NULL
    FROM pg_sequences WHERE schemaname = 'public'
"""


class Databases:
    """Those of one server. ``template`` is the name of the database that they are like."""

    def __init__(self, server: Postgres, template: str) -> None:
        self._server = server
        self._template = template
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        with self._connection(server.url(template)) as connection:
            self._shape = connection.execute(_SHAPE).fetchone()
            tables = [str(name) for (name,) in connection.execute(_TABLES)]
            self._rows = {name: _copied(connection, name) for name in tables}
            self._sequences = connection.execute(_SEQUENCES).fetchall()

    def take(self) -> str:
        """The url of one that nobody else uses."""
        return self._free.pop() if self._free else self._server.create(self._template)

    def give_back(self, url: str) -> None:
        if self._restored(url):
            # By another name: who was not told that the test is over finds nothing.
            name = f"again_{next(self._numbers)}"
            self._server.run(f'ALTER DATABASE "{url.rpartition("/")[2]}" RENAME TO "{name}"')
            self._free.append(self._server.url(name))
        else:
            self._server.drop(url)

    def _restored(self, url: str) -> bool:
        """Whether it is as the template again."""
        try:
            with self._connection(url) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if connection.execute(_SHAPE).fetchone() != self._shape:
                    return False
                with connection.transaction():
                    return self._restore_rows(connection)
        except psycopg.Error:
            return False

    def _restore_rows(self, connection: psycopg.Connection) -> bool:
        # No foreign keys are looked at, so that the order of the tables does not matter.
        connection.execute("SET LOCAL session_replication_role = replica")
        for name, length in connection.execute(self._lengths()).fetchall():
            table = sql.Identifier(name)
            if length > _MOST_ROWS:
                return False
            if length:
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
            if rows := self._rows[name]:
                with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
                    copy.write(rows)
        for name, value, is_called in self._sequences:
            connection.execute("SELECT setval(%s::regclass, %s, %s)", [name, value, is_called])
        return True

    def _lengths(self) -> sql.Composed:
        """Of all tables, but none is counted further than it matters."""
        one = sql.SQL("SELECT {}, count(*) FROM (SELECT FROM {} LIMIT {}) AS rows")
        return sql.SQL(" UNION ALL ").join(
            one.format(name, sql.Identifier(name), _MOST_ROWS + 1) for name in self._rows
        )

    def _connection(self, url: str) -> psycopg.Connection:
        return psycopg.connect(url, autocommit=True, connect_timeout=5)


def _copied(connection: psycopg.Connection, table: str) -> bytes:
    command = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
    with connection.cursor().copy(command) as copy:
        return b"".join(bytes(chunk) for chunk in copy)
