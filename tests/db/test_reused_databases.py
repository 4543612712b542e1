"""Tests share databases on PostgreSQL, one after another: each finds what the first one found."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.databases import Databases

NEW_USER = """
    INSERT INTO users (username, password_hash, role, active, created_at)
    VALUES ('dora', '', 'viewer', true, now())
"""


def told(url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(question.encode()).fetchall()


def do(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        NEW_USER,
        "DELETE FROM users",
        "UPDATE users SET role = 'viewer'",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM job_counts",
        "SELECT nextval(pg_get_serial_sequence('users', 'id'))",
    ],
)
def test_rows_and_numbers_are_those_of_the_template(databases: Databases, statement: str) -> None:
    question = """
        SELECT 'users', users::text FROM users UNION ALL
        SELECT 'settings', user_settings::text FROM user_settings UNION ALL
        SELECT 'counts', job_counts::text FROM job_counts UNION ALL
        SELECT 'version', version_num FROM alembic_version UNION ALL
        SELECT 'number', concat(sequencename, last_value) FROM pg_sequences ORDER BY 1, 2
    """
    url = databases.take()
    first = told(url, question)
    do(url, statement)
    assert told(url, question) != first
    with psycopg.connect(url):  # of one who has not heard that the test is over
        databases.give_back(url)
    again = databases.take()
    assert again != url
    assert told(again, question) == first
    do(again, NEW_USER)
    databases.give_back(again)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE users ADD COLUMN shoe_size integer",
        "ALTER TABLE job_counts RENAME TO counts",
        "CREATE TABLE more (id integer)",
        "DROP INDEX ix_jobs_status_id",
        "ALTER TABLE jobs DISABLE TRIGGER ALL",
        "REVOKE INSERT ON jobs FROM postgres",
        "INSERT INTO job_counts SELECT 'a' || g, g FROM generate_series(1, 2000) g",
    ],
)
def test_whoever_changes_more_than_rows_is_the_last_to_use_it(
    databases: Databases, statement: str
) -> None:
    url = databases.take()
    do(url, statement)
    databases.give_back(url)
    after = databases.take()
    assert (url.rpartition("/")[2],) not in told(after, "SELECT datname FROM pg_database")
    assert told(after, "SELECT count(*) FROM job_counts WHERE status LIKE 'a1%'") == [(0,)]
    do(after, NEW_USER)  # as the template, it takes one
    databases.give_back(after)
