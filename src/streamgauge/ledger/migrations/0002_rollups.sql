-- Hourly roll-ups (SPEC §8.4), and the order in which rows were closed, from which they are made.

-- One row for each closed row of `requests`, in the order of closing: seq never comes twice, so
-- that a reader who remembers the last one it has seen misses nothing and sees nothing again.
CREATE TABLE closings (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id   TEXT NOT NULL,
    finished_at  INTEGER NOT NULL
) STRICT;

-- Retention goes by age.
CREATE INDEX closings_by_finish ON closings (finished_at);

INSERT INTO closings (request_id, finished_at)
    SELECT id, ifnull(finished_at, started_at) FROM requests
    WHERE status <> 'in_flight'
    ORDER BY ifnull(finished_at, started_at), started_at, id;

-- Triggers: whoever closes a row (the writer, a recovery, a replay), the closing is in the same
-- transaction, or neither is.
CREATE TRIGGER requests_closed AFTER UPDATE OF status ON requests
WHEN OLD.status = 'in_flight' AND NEW.status <> 'in_flight'
BEGIN
    INSERT INTO closings (request_id, finished_at)
        VALUES (NEW.id, ifnull(NEW.finished_at, NEW.started_at));
END;

CREATE TRIGGER requests_inserted_closed AFTER INSERT ON requests
WHEN NEW.status <> 'in_flight'
BEGIN
    INSERT INTO closings (request_id, finished_at)
        VALUES (NEW.id, ifnull(NEW.finished_at, NEW.started_at));
END;

-- `rolled_up_to`: the last closing that is in the roll-ups; what came later is added when read.
-- `kept_from`: retention has deleted rows that finished before this hour (µs since the epoch).
CREATE TABLE rollup_state (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    rolled_up_to  INTEGER NOT NULL,
    kept_from     INTEGER
) STRICT;

INSERT INTO rollup_state VALUES (1, 0, NULL);

-- The names of models and applications that have roll-ups of their own in an hour. Clients choose
-- both, so their number has a bound; the rest of that hour is added up as `(other)`.
CREATE TABLE rollup_names (
    hour  INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    PRIMARY KEY (hour, kind, name)
) STRICT, WITHOUT ROWID;

-- Sums of one hour (UTC, of finished_at; µs since the epoch) for one combination of what describes
-- an exchange; '' is unknown. `*_known` counts the rows that had a value: a sum of none is no zero.
CREATE TABLE rollup_usage (
    hour                INTEGER NOT NULL,
    upstream            TEXT NOT NULL,
    model               TEXT NOT NULL,
    dialect             TEXT NOT NULL,
    status              TEXT NOT NULL,
    key_id              TEXT NOT NULL,
    client_app          TEXT NOT NULL,
    usage_source        TEXT NOT NULL,
    input_source        TEXT NOT NULL,
    currency            TEXT NOT NULL,
    exchanges           INTEGER NOT NULL,
    successes           INTEGER NOT NULL,
    failures            INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    input_known         INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    output_known        INTEGER NOT NULL,
    cache_read_tokens   INTEGER NOT NULL,
    cache_read_known    INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    cache_write_known   INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    reasoning_known     INTEGER NOT NULL,
    -- cost_nano = cost_high * 2^32 + cost_low: nano-units of a small currency outgrow 64 bits.
    cost_high           INTEGER NOT NULL,
    cost_low            INTEGER NOT NULL,
    cost_known          INTEGER NOT NULL,
    PRIMARY KEY (hour, upstream, model, dialect, status, key_id, client_app,
                 usage_source, input_source, currency)
) STRICT, WITHOUT ROWID;

-- How long it took: for each time (`metric` is the column of requests) the number of rows that had
-- one, their sum in µs, and how many fell in each bucket; `upto_N`: at most N ms, above the last.
CREATE TABLE rollup_times (
    hour       INTEGER NOT NULL,
    metric     TEXT NOT NULL,
    upstream   TEXT NOT NULL,
    model      TEXT NOT NULL,
    dialect    TEXT NOT NULL,
    status     TEXT NOT NULL,
    exchanges  INTEGER NOT NULL,
    sum_us     INTEGER NOT NULL,
    upto_5                     INTEGER NOT NULL,
    upto_7                     INTEGER NOT NULL,
    upto_10                    INTEGER NOT NULL,
    upto_15                    INTEGER NOT NULL,
    upto_20                    INTEGER NOT NULL,
    upto_30                    INTEGER NOT NULL,
    upto_50                    INTEGER NOT NULL,
    upto_70                    INTEGER NOT NULL,
    upto_100                   INTEGER NOT NULL,
    upto_150                   INTEGER NOT NULL,
    upto_200                   INTEGER NOT NULL,
    upto_300                   INTEGER NOT NULL,
    upto_500                   INTEGER NOT NULL,
    upto_700                   INTEGER NOT NULL,
    upto_1000                  INTEGER NOT NULL,
    upto_1500                  INTEGER NOT NULL,
    upto_2000                  INTEGER NOT NULL,
    upto_3000                  INTEGER NOT NULL,
    upto_5000                  INTEGER NOT NULL,
    upto_7000                  INTEGER NOT NULL,
    upto_10000                 INTEGER NOT NULL,
    upto_15000                 INTEGER NOT NULL,
    upto_20000                 INTEGER NOT NULL,
    upto_30000                 INTEGER NOT NULL,
    upto_50000                 INTEGER NOT NULL,
    upto_70000                 INTEGER NOT NULL,
    upto_100000                INTEGER NOT NULL,
    upto_150000                INTEGER NOT NULL,
    upto_200000                INTEGER NOT NULL,
    upto_300000                INTEGER NOT NULL,
    upto_500000                INTEGER NOT NULL,
    upto_700000                INTEGER NOT NULL,
    longer                     INTEGER NOT NULL,
    PRIMARY KEY (hour, metric, upstream, model, dialect, status)
) STRICT, WITHOUT ROWID;

-- The same sums by day (UTC): months are read from these in a thirtieth of the time.
CREATE TABLE rollup_usage_daily (
    day                 INTEGER NOT NULL,
    upstream            TEXT NOT NULL,
    model               TEXT NOT NULL,
    dialect             TEXT NOT NULL,
    status              TEXT NOT NULL,
    key_id              TEXT NOT NULL,
    client_app          TEXT NOT NULL,
    usage_source        TEXT NOT NULL,
    input_source        TEXT NOT NULL,
    currency            TEXT NOT NULL,
    exchanges           INTEGER NOT NULL,
    successes           INTEGER NOT NULL,
    failures            INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    input_known         INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    output_known        INTEGER NOT NULL,
    cache_read_tokens   INTEGER NOT NULL,
    cache_read_known    INTEGER NOT NULL,
    cache_write_tokens  INTEGER NOT NULL,
    cache_write_known   INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    reasoning_known     INTEGER NOT NULL,
    cost_high           INTEGER NOT NULL,
    cost_low            INTEGER NOT NULL,
    cost_known          INTEGER NOT NULL,
    PRIMARY KEY (day, upstream, model, dialect, status, key_id, client_app,
                 usage_source, input_source, currency)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_times_daily (
    day        INTEGER NOT NULL,
    metric     TEXT NOT NULL,
    upstream   TEXT NOT NULL,
    model      TEXT NOT NULL,
    dialect    TEXT NOT NULL,
    status     TEXT NOT NULL,
    exchanges  INTEGER NOT NULL,
    sum_us     INTEGER NOT NULL,
    upto_5                     INTEGER NOT NULL,
    upto_7                     INTEGER NOT NULL,
    upto_10                    INTEGER NOT NULL,
    upto_15                    INTEGER NOT NULL,
    upto_20                    INTEGER NOT NULL,
    upto_30                    INTEGER NOT NULL,
    upto_50                    INTEGER NOT NULL,
    upto_70                    INTEGER NOT NULL,
    upto_100                   INTEGER NOT NULL,
    upto_150                   INTEGER NOT NULL,
    upto_200                   INTEGER NOT NULL,
    upto_300                   INTEGER NOT NULL,
    upto_500                   INTEGER NOT NULL,
    upto_700                   INTEGER NOT NULL,
    upto_1000                  INTEGER NOT NULL,
    upto_1500                  INTEGER NOT NULL,
    upto_2000                  INTEGER NOT NULL,
    upto_3000                  INTEGER NOT NULL,
    upto_5000                  INTEGER NOT NULL,
    upto_7000                  INTEGER NOT NULL,
    upto_10000                 INTEGER NOT NULL,
    upto_15000                 INTEGER NOT NULL,
    upto_20000                 INTEGER NOT NULL,
    upto_30000                 INTEGER NOT NULL,
    upto_50000                 INTEGER NOT NULL,
    upto_70000                 INTEGER NOT NULL,
    upto_100000                INTEGER NOT NULL,
    upto_150000                INTEGER NOT NULL,
    upto_200000                INTEGER NOT NULL,
    upto_300000                INTEGER NOT NULL,
    upto_500000                INTEGER NOT NULL,
    upto_700000                INTEGER NOT NULL,
    longer                     INTEGER NOT NULL,
    PRIMARY KEY (day, metric, upstream, model, dialect, status)
) STRICT, WITHOUT ROWID;

-- Only the exceptions: a list of what went wrong should not read the millions that went well, and
-- a row in flight should not enter an index twice.
CREATE INDEX requests_ended_otherwise ON requests (status, started_at)
    WHERE status NOT IN ('completed', 'in_flight');

CREATE INDEX requests_by_session ON requests (session_id, started_at)
    WHERE session_id IS NOT NULL;

-- `show` finds a row by the id that the client gave it; most clients give none.
CREATE INDEX requests_by_client_request ON requests (client_request_id)
    WHERE client_request_id IS NOT NULL;
