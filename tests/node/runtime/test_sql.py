"""Which statements may run, and which of them say how large their groups are."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from capsule.algorithm import Algorithm, Column, ColumnType, Parameters, code_digest
from node.errors import RuntimeRefusedError
from node.runtime.engine import CONFIGURATION, Answer, Engine
from node.runtime.sql import MAX_SQL_BYTES, check, table_names

TABLE = pa.table(
    {"time": pa.array([0, 60_000_000, 120_000_000, 3_600_000_000], type=pa.timestamp("us")), "x": [1, 2, 3, 4]}
)
N = (Column("n", ColumnType.INTEGER),)


def ask(
    sql: str, *, min_group: int = 1, group_column: str | None = "n", tables: tuple[str, ...] = ("readings",)
) -> Answer:
    algorithm = Algorithm(
        kind="sql", code_hash=code_digest(sql.encode()), parameters=(), output=N, group_column=group_column
    )
    engine = Engine(dict.fromkeys(tables, TABLE), memory_bytes=256 << 20, threads=1)
    statement = check(sql, tables)
    engine.check(statement, algorithm, min_group)
    return engine.run(statement, algorithm, Parameters({}, bytes(32)), most_rows=100, most_bytes=10_000)


def reason(sql: str, *, min_group: int = 1, group_column: str | None = "n") -> str:
    with pytest.raises(RuntimeRefusedError) as refused:
        ask(sql, min_group=min_group, group_column=group_column)
    assert refused.value.kind == "algorithm"
    assert refused.value.__cause__ is None
    return refused.value.reason


class TestStatementsThatRun:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) AS n FROM readings",
            "FROM readings SELECT x;",
            "SELECT x FROM readings; -- the end",
            "WITH a AS (SELECT x FROM readings), b AS (SELECT x + 1 AS y FROM a) SELECT sum(y) FROM b",
            "SELECT x FROM readings UNION ALL SELECT -x FROM readings",
            "SELECT a.x FROM readings a JOIN READINGS b USING (x) WHERE b.x IN (SELECT max(x) FROM readings)",
            "SELECT CASE WHEN x > 1 THEN 'a' ELSE 'b' END, x BETWEEN 1 AND 2, x IS NULL, NOT x = 1 FROM readings",
            "SELECT lag(x) OVER (ORDER BY time), row_number() OVER w FROM readings WINDOW w AS (PARTITION BY x)",
            "SELECT time + INTERVAL 1 HOUR, extract(hour FROM time), epoch(time), strftime(time, '%H') FROM readings",
            "SELECT x::DOUBLE / 3, TRY_CAST('a' AS INTEGER), x ** 2, x // 2, round(x, 1), least(x, 2) FROM readings",
            "SELECT sum(x) FILTER (WHERE x > 1), median(x), quantile_cont(x, 0.9), count(DISTINCT x) FROM readings",
            "SELECT upper('a') || lower('B'), 'abc' LIKE 'a%', regexp_matches('a', 'b'), substring('abc', 1, 2)",
            "SELECT DISTINCT x FROM readings ORDER BY x DESC NULLS LAST LIMIT 2 OFFSET 1",
            "SELECT * EXCLUDE (time) FROM readings",
            "SELECT x, grouping(x) FROM readings GROUP BY CUBE (x) HAVING count(*) > 0",
            "SELECT 'COPY readings TO x; DROP TABLE y' AS t",
        ],
    )
    def test_runs(self, sql: str) -> None:
        assert ask(sql).columns


class TestStatementsThatDoNot:
    @pytest.mark.parametrize(
        "sql",
        [
            "",
            ";",
            "SELECT (",
            "SELECT 'open",
            "SELECT 1; SELECT 2",
            "SELECT 1; COPY readings TO '/tmp/x'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "ATTACH '/tmp/x' AS y",
            "DETACH y",
            "USE y",
            "INSTALL httpfs",
            "LOAD httpfs",
            "PRAGMA version",
            "SET threads = 1",
            "RESET threads",
            "CALL duckdb_settings()",
            "CREATE TABLE t AS SELECT 1",
            "CREATE MACRO f() AS 1",
            "CREATE SECRET s (TYPE s3)",
            "INSERT INTO readings VALUES (1)",
            "UPDATE readings SET x = 1",
            "DELETE FROM readings",
            "MERGE INTO readings USING readings r ON true WHEN MATCHED THEN DELETE",
            "WITH t AS (INSERT INTO readings VALUES (1) RETURNING *) SELECT * FROM t",
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT n FROM t",
            "EXPORT DATABASE '/tmp/x'",
            "IMPORT DATABASE '/tmp/x'",
            "CHECKPOINT",
            "VACUUM",
            "BEGIN",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "DESCRIBE readings",
            "SUMMARIZE readings",
            "SHOW TABLES",
            "PIVOT readings ON x USING sum(x)",
            "VALUES (1)",
            "SELECT * FROM (VALUES (1)) t",
            "SELECT * FROM unnest([1, 2])",
            "SELECT * FROM readings, LATERAL (SELECT 1)",
            "SELECT x FROM readings TABLESAMPLE 10%",
            "SELECT x FROM readings FOR UPDATE",
            "SELECT 1 INTO x",
            "SELECT #1 FROM readings",
            "SELECT x COLLATE nocase FROM readings",
            "SELECT " + "(" * 3000 + "1" + ")" * 3000,
            "SELECT '" + "a" * MAX_SQL_BYTES + "'",
        ],
        ids=lambda sql: sql[:40],
    )
    def test_statement(self, sql: str) -> None:
        assert reason(sql) == "statement"

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM '/etc/passwd'",
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM read_blob('/proc/self/environ')",
            "SELECT * FROM parquet_scan('/tmp/x')",
            "SELECT * FROM glob('/*')",
            "SELECT * FROM query('SELECT 1')",
            "SELECT * FROM query_table('readings')",
            "SELECT * FROM json_execute_serialized_sql('{}')",
            "SELECT * FROM python_arrow_scan(1, 2, 3)",
            "SELECT * FROM range(1000000000)",
            "SELECT * FROM generate_series(1, 10)",
            "SELECT * FROM repeat(1, 10)",
            "SELECT * FROM duckdb_settings()",
            "SELECT * FROM duckdb_tables",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM pg_catalog.pg_tables",
            "SELECT * FROM main.readings",
            "SELECT * FROM memory.main.readings",
            "SELECT * FROM readings AT (VERSION => 1)",
            "SELECT * FROM readings_1",
            "SELECT x FROM readings WHERE x IN (SELECT y FROM elsewhere)",
            "WITH readings AS (SELECT 1 AS x) SELECT x FROM readings",
        ],
    )
    def test_table(self, sql: str) -> None:
        assert reason(sql) == "table"

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT getenv('HOME')",
            "SELECT random() FROM readings",
            "SELECT x FROM readings ORDER BY random()",
            "SELECT sum(x) OVER (ORDER BY random()) FROM readings",
            "SELECT sum(x) FILTER (WHERE random() > 0) FROM readings",
            "SELECT now()",
            "SELECT current_date",
            "SELECT current_timestamp",
            "SELECT localtimestamp",
            "SELECT today()",
            "SELECT uuid()",
            "SELECT version()",
            "SELECT current_user",
            'SELECT "user"',
            "SELECT current_setting('threads')",
            "SELECT getvariable('x')",
            "SELECT nextval('s')",
            "SELECT setseed(0.5)",
            "SELECT txid_current()",
            "SELECT write_log('x')",
            "SELECT sleep_ms(1000)",
            "SELECT pg_sleep(1)",
            "SELECT error('x')",
            "SELECT unnest([1, 2])",
            "SELECT list(x) FROM readings",
            "SELECT string_agg(x) FROM readings",
            "SELECT [1, 2]",
            "SELECT {'a': 1}",
            "SELECT repeat('x', 1000000000)",
            "SELECT x::myenum FROM readings",
            "SELECT x::VARCHAR[] FROM readings",
            "SELECT json_serialize_sql('SELECT 1')",
            "SELECT main.sum(x) FROM readings",
            "SELECT a.b.c(x) FROM readings",
        ],
    )
    def test_function(self, sql: str) -> None:
        assert reason(sql) == "function"

    @pytest.mark.parametrize("sql", ["SELECT ?", "SELECT $1", "SELECT $a FROM readings"])
    def test_parameter_that_the_manifest_does_not_name(self, sql: str) -> None:
        assert reason(sql) == "parameter"

    @pytest.mark.parametrize(
        "sql", ["SELECT y FROM readings", "SELECT 'a'::INTEGER", "SELECT factorial(1000)", "SELECT sum('a')"]
    )
    def test_failure_while_it_runs(self, sql: str) -> None:
        assert reason(sql) == "failed"


class TestGroups:
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) AS n FROM readings",
            "SELECT hour(time) AS h, count(*) AS n, sum(x) AS s FROM readings GROUP BY 1",
            "SELECT hour(time) AS h, count(*) AS n FROM readings WHERE x > 0 GROUP BY ALL ORDER BY n",
            "SELECT hour(time) AS h, count(*) AS n FROM readings GROUP BY ROLLUP (hour(time))",
            "SELECT count(*) AS n, sum(d * x) FROM (SELECT x, hour(time) - 1 AS d FROM readings)",
            "WITH s AS (SELECT * FROM readings ORDER BY x), t AS (SELECT * FROM s) SELECT count(*) AS n FROM t",
            "SELECT 1 AS c, count(*) AS n FROM readings UNION ALL SELECT x, count(*) AS n FROM readings GROUP BY x",
        ],
    )
    def test_that_count(self, sql: str) -> None:
        assert "n" in [name for name, _ in ask(sql, min_group=2).columns]

    @pytest.mark.parametrize(
        "sql",
        [
            # the size is not the count
            "SELECT x, 100 AS n FROM readings",
            "SELECT x, count(*) + 100 AS n FROM readings GROUP BY x",
            "SELECT x, count(x) AS n FROM readings GROUP BY x",
            "SELECT x, count(*) OVER () AS n FROM readings",
            "SELECT x, count(*) FILTER (WHERE true) AS n FROM readings GROUP BY x",
            "SELECT x, count(*) AS n, count(*) AS n FROM readings GROUP BY x",
            "SELECT x, count(*) FROM readings GROUP BY x",
            # rows are counted more than once, or are no rows of the capsule
            "SELECT a.x, count(*) AS n FROM readings a, readings b GROUP BY a.x",
            "SELECT a.x, count(*) AS n FROM readings a JOIN readings b ON true GROUP BY a.x",
            "SELECT x, count(*) AS n FROM (SELECT * FROM readings UNION ALL SELECT * FROM readings) GROUP BY x",
            "WITH a AS (SELECT r.x FROM readings r, readings s) SELECT x, count(*) AS n FROM a GROUP BY x",
            "WITH a AS (WITH a AS (SELECT r.x FROM readings r, readings s) SELECT * FROM a)"
            " SELECT count(*) AS n FROM a",
            "SELECT count(*) AS n FROM (SELECT x, count(*) FROM readings GROUP BY x)",
            "SELECT count(*) AS n",
            "SELECT x, count(*) AS n FROM readings GROUP BY x UNION ALL SELECT 1, 100",
            "SELECT x, count(*) AS n FROM readings GROUP BY x UNION ALL SELECT 1, 100 AS n",
            "SELECT x, count(*) AS n FROM readings GROUP BY x UNION ALL SELECT count(*) AS n, 1 FROM readings",
            "SELECT x, count(*) AS n FROM readings GROUP BY x UNION SELECT x, count(*) AS n FROM readings GROUP BY x",
            "SELECT x, count(*) AS n FROM readings GROUP BY x EXCEPT ALL SELECT 1, count(*) AS n FROM readings",
            "SELECT x, count(*) AS n FROM readings GROUP BY x UNION ALL SELECT 1, count(*) AS n FROM readings LIMIT 1",
            "SELECT 1 AS c, count(*) AS n FROM readings UNION ALL"
            " (SELECT x, count(*) AS n FROM readings GROUP BY x HAVING x = 1)",
            # groups are hidden
            "SELECT x, count(*) AS n FROM readings GROUP BY x HAVING count(*) > 1",
            "SELECT x, count(*) AS n FROM readings GROUP BY x ORDER BY n LIMIT 1",
            "SELECT x, count(*) AS n FROM readings GROUP BY x ORDER BY n OFFSET 1",
            "SELECT DISTINCT x, count(*) AS n FROM readings GROUP BY x",
            "SELECT x, count(*) AS n FROM readings GROUP BY x QUALIFY row_number() OVER () = 1",
            "SELECT count(*) AS n FROM (SELECT * FROM readings ORDER BY x LIMIT 3)",
            "SELECT count(*) AS n FROM (SELECT DISTINCT x FROM readings)",
            # a value of other rows stands in a row
            "SELECT x, lead(sum(x)) OVER (ORDER BY x) AS s, count(*) AS n FROM readings GROUP BY x",
            "SELECT x, min(count(*)) OVER () AS s, count(*) AS n FROM readings GROUP BY x",
            "SELECT count(*) AS n FROM readings GROUP BY x ORDER BY sum(count(*)) OVER ()",
            "SELECT count(*) AS n, sum(d * x) FROM"
            " (SELECT x, epoch(time - lag(time) OVER (ORDER BY time)) AS d FROM readings)",
            "SELECT v, count(*) AS n FROM (SELECT max(x) FILTER (WHERE x = 3) OVER () AS v FROM readings) GROUP BY v",
            # columns that nobody named
            "SELECT count(*) AS n FROM readings WHERE COLUMNS('row.*') < 20",
            # another look at the table
            "SELECT (SELECT max(x) FROM readings) AS m, count(*) AS n FROM readings",
            "SELECT count(*) AS n FROM readings WHERE x = (SELECT max(x) FROM readings)",
            "SELECT min(COLUMNS(*)), count(*) AS n FROM readings",
        ],
    )
    def test_that_do_not(self, sql: str) -> None:
        assert reason(sql, min_group=2) == "groups"

    def test_a_manifest_that_names_no_column_for_them(self) -> None:
        assert reason("SELECT count(*) AS n FROM readings", min_group=2, group_column=None) == "groups"

    def test_a_cycle_of_views_ends(self) -> None:
        sql = "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT count(*) AS n FROM a"
        assert reason(sql, min_group=2) == "groups"


class TestEngineAlone:
    """What the engine's own locks refuse, had every check of the statement failed."""

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM read_csv('/etc/passwd')",
            "SELECT * FROM read_text('/etc/passwd')",
            "SELECT * FROM '/etc/passwd'",
            "COPY (SELECT 1) TO '/tmp/stolen'",
            "ATTACH '/tmp/stolen' AS stolen",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET threads = 8",
            "RESET lock_configuration",
        ],
    )
    def test_refuses(self, sql: str) -> None:
        connection = duckdb.connect(":memory:", config=dict(CONFIGURATION))
        with pytest.raises(duckdb.Error):
            connection.execute(sql).fetchall()


class TestNames:
    def test_of_one_capsule(self) -> None:
        assert table_names(1) == (("readings", "data"),)

    def test_of_several(self) -> None:
        assert table_names(3) == (("readings_1",), ("readings_2",), ("readings_3",))

    def test_check_lists_tables_and_parameters(self) -> None:
        statement = check(
            "WITH a AS (SELECT * FROM Readings) SELECT $p, $q FROM a JOIN data ON $p", ["readings", "data"]
        )
        assert statement.tables == {"readings", "data"}
        assert statement.parameters == {"p", "q"}
