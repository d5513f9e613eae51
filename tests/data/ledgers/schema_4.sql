-- A ledger as schema 4 left it: 8 rows, two of them in flight; one has two attempts.
PRAGMA application_id = 1397181511;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE attempts (
    request_id            TEXT NOT NULL,
    n                     INTEGER NOT NULL,
    upstream              TEXT NOT NULL,
    dialect               TEXT NOT NULL,
    model                 TEXT,
    started_at            INTEGER,
    finished_at           INTEGER,
    http_status           INTEGER,
    outcome               TEXT,
    error_code            TEXT,
    first_byte_ms         REAL,
    may_have_been_billed  INTEGER,
    input_tokens          INTEGER,
    output_tokens         INTEGER,
    PRIMARY KEY (request_id, n)
) STRICT, WITHOUT ROWID;
INSERT INTO "attempts" VALUES('0004000000000000',1,'local','openai','qwen3-32b',1763000000000700,1763000001500000,200,'completed',NULL,30.0,1,1000,100);
INSERT INTO "attempts" VALUES('0004000000000001',1,'local','openai','qwen3-32b',1763000060000700,1763000061500000,200,'completed',NULL,30.0,1,1001,100);
INSERT INTO "attempts" VALUES('0004000000000002',1,'flaky','openai','qwen3-32b',1763000120000700,1763000120005000,503,'upstream_error','upstream_error',NULL,0,NULL,NULL);
INSERT INTO "attempts" VALUES('0004000000000002',2,'local','openai','qwen3-32b',1763000120006000,1763000121500000,200,'completed',NULL,30.0,1,1002,100);
INSERT INTO "attempts" VALUES('0004000000000003',1,'local','openai','qwen3-32b',1763000180000700,1763000181500000,200,'completed',NULL,30.0,1,1003,100);
INSERT INTO "attempts" VALUES('0004000000000004',1,'local','openai','qwen3-32b',1763000240000700,1763000241500000,200,'completed',NULL,30.0,1,1004,100);
INSERT INTO "attempts" VALUES('0004000000000005',1,'local','openai','qwen3-32b',1763000300000700,1763000301500000,200,'completed',NULL,30.0,1,1005,100);
INSERT INTO "attempts" VALUES('0004000000000006',1,'local','openai','qwen3-32b',1763000360000700,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES('0004000000000007',1,'local','openai','qwen3-32b',1763000420000700,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE client_keys (
    key_id              TEXT PRIMARY KEY NOT NULL,
    label               TEXT NOT NULL,
    shown               TEXT NOT NULL,
    digest              BLOB NOT NULL,
    -- The digest before the last rotation, which opens until then.
    old_digest          BLOB,
    old_until           INTEGER,
    -- Times: µs since the epoch.
    created_at          INTEGER NOT NULL,
    rotated_at          INTEGER,
    expires_at          INTEGER,
    revoked_at          INTEGER,
    last_used_at        INTEGER,
    -- JSON array of globs; empty is any model. Limits: NULL is none, money in nano-units.
    models              TEXT NOT NULL,
    max_streams         INTEGER,
    rpm                 INTEGER,
    tpm                 INTEGER,
    per_day_nano        INTEGER,
    per_day_currency    TEXT,
    per_month_nano      INTEGER,
    per_month_currency  TEXT
) STRICT;
CREATE TABLE closings (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id   TEXT NOT NULL,
    finished_at  INTEGER NOT NULL
) STRICT;
INSERT INTO "closings" VALUES(1,'0004000000000000',1763000001500000);
INSERT INTO "closings" VALUES(2,'0004000000000001',1763000061500000);
INSERT INTO "closings" VALUES(3,'0004000000000002',1763000121500000);
INSERT INTO "closings" VALUES(4,'0004000000000003',1763000181500000);
INSERT INTO "closings" VALUES(5,'0004000000000004',1763000241500000);
INSERT INTO "closings" VALUES(6,'0004000000000005',1763000301500000);
CREATE TABLE export_cursors (
    sink     TEXT PRIMARY KEY NOT NULL,
    seq      INTEGER NOT NULL,
    serving  INTEGER NOT NULL CHECK (serving IN (0, 1)),
    state    TEXT
) STRICT;
CREATE TABLE keys_state (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    version       INTEGER NOT NULL,
    secret_check  BLOB
) STRICT;
INSERT INTO "keys_state" VALUES(1,0,NULL);
CREATE TABLE requests (
    id                  TEXT PRIMARY KEY NOT NULL,
    owner               TEXT NOT NULL,
    started_at          INTEGER NOT NULL,
    finished_at         INTEGER,
    client_request_id   TEXT,
    key_id              TEXT,
    session_id          TEXT,
    repeats             TEXT,
    client_app          TEXT,
    dialect             TEXT,
    endpoint            TEXT,
    streaming           INTEGER,
    requested_model     TEXT,
    upstream            TEXT,
    upstream_model      TEXT,
    response_model      TEXT,
    route               TEXT,
    status              TEXT NOT NULL,
    success             INTEGER,
    error_code          TEXT,
    error_message       TEXT,
    http_status         INTEGER,
    finish_reason       TEXT,
    finish_normal       TEXT,
    delivered           TEXT,
    disposition         TEXT,
    drain_ms            REAL,
    input_tokens        INTEGER,
    output_tokens       INTEGER,
    cache_read_tokens   INTEGER,
    cache_write_tokens  INTEGER,
    reasoning_tokens    INTEGER,
    usage_source        TEXT,
    input_source        TEXT,
    prompt_tps          REAL,
    prompt_ms           REAL,
    generation_tps      REAL,
    generation_ms       REAL,
    tps_source          TEXT,
    context_used        INTEGER,
    context_total       INTEGER,
    context_percent     REAL,
    cost_nano           INTEGER,
    currency            TEXT,
    cost_source         TEXT,
    cost_reason         TEXT,
    price               TEXT,
    service_tier        TEXT,
    latency_ms          REAL,
    first_byte_ms       REAL,
    ttft_ms             REAL,
    stream_duration_ms  REAL,
    gap_p50_ms          REAL,
    gap_p95_ms          REAL,
    gap_max_ms          REAL,
    stalls              INTEGER,
    overhead_us         REAL,
    frames_in           INTEGER,
    frames_out          INTEGER,
    bytes_in            INTEGER,
    bytes_out           INTEGER,
    stream_sha1         TEXT,
    anomalies           TEXT NOT NULL,
    attempts            INTEGER,
    config_version      TEXT
) STRICT;
INSERT INTO "requests" VALUES('0004000000000006','boot-4',1763000360000000,NULL,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b',NULL,NULL,'in_flight',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',1,'v4');
INSERT INTO "requests" VALUES('0004000000000007','boot-4',1763000420000000,NULL,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b',NULL,NULL,'in_flight',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[]',1,'v4');
INSERT INTO "requests" VALUES('0004000000000000','boot-4',1763000000000000,1763000001500000,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b','qwen3-32b','default','completed',1,NULL,NULL,200,'stop','stop','all','read_to_end',NULL,1000,100,NULL,NULL,NULL,'provider','provider',NULL,NULL,70.5,1404.255,'measured',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,9.0,30.0,41.5,1450.0,NULL,NULL,NULL,NULL,812.4,102,102,9000,9000,NULL,'[]',1,'v4');
INSERT INTO "requests" VALUES('0004000000000001','boot-4',1763000060000000,1763000061500000,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b','qwen3-32b','default','completed',1,NULL,NULL,200,'stop','stop','all','read_to_end',NULL,1001,100,NULL,NULL,NULL,'provider','provider',NULL,NULL,70.5,1404.255,'measured',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,9.0,30.0,41.5,1450.0,NULL,NULL,NULL,NULL,812.4,102,102,9000,9000,NULL,'[]',1,'v4');
INSERT INTO "requests" VALUES('0004000000000002','boot-4',1763000120000000,1763000121500000,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b','qwen3-32b','default','completed',1,NULL,NULL,200,'stop','stop','all','read_to_end',NULL,1002,100,NULL,NULL,NULL,'provider','provider',NULL,NULL,70.5,1404.255,'measured',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,9.0,30.0,41.5,1450.0,NULL,NULL,NULL,NULL,812.4,102,102,9000,9000,NULL,'[]',2,'v4');
INSERT INTO "requests" VALUES('0004000000000003','boot-4',1763000180000000,1763000181500000,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b','qwen3-32b','default','completed',1,NULL,NULL,200,'stop','stop','all','read_to_end',NULL,1003,100,NULL,NULL,NULL,'provider','provider',NULL,NULL,70.5,1404.255,'measured',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,9.0,30.0,41.5,1450.0,NULL,NULL,NULL,NULL,812.4,102,102,9000,9000,NULL,'[]',1,'v4');
INSERT INTO "requests" VALUES('0004000000000004','boot-4',1763000240000000,1763000241500000,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',0,'qwen3','local','qwen3-32b','qwen3-32b','default','completed',1,NULL,NULL,200,'stop','stop','all','read_to_end',NULL,1004,100,NULL,NULL,NULL,'provider','provider',NULL,NULL,NULL,NULL,'none',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,9.0,30.0,NULL,1450.0,NULL,NULL,NULL,NULL,812.4,102,102,9000,9000,NULL,'[]',1,'v4');
INSERT INTO "requests" VALUES('0004000000000005','boot-4',1763000300000000,1763000301500000,NULL,NULL,NULL,NULL,NULL,'openai','chat/completions',1,'qwen3','local','qwen3-32b','qwen3-32b','default','completed',1,NULL,NULL,200,'stop','stop','all','read_to_end',NULL,1005,100,NULL,NULL,NULL,'provider','provider',NULL,NULL,70.5,1404.255,'measured',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,9.0,30.0,41.5,1450.0,NULL,NULL,NULL,NULL,812.4,102,102,9000,9000,NULL,'[]',1,'v4');
CREATE TABLE rollup_names (
    hour  INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    name  TEXT NOT NULL,
    PRIMARY KEY (hour, kind, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE rollup_state (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    rolled_up_to  INTEGER NOT NULL,
    kept_from     INTEGER
) STRICT;
INSERT INTO "rollup_state" VALUES(1,0,NULL);
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
CREATE INDEX requests_by_start ON requests (started_at);
CREATE INDEX requests_open ON requests (started_at) WHERE status = 'in_flight';
CREATE INDEX closings_by_finish ON closings (finished_at);
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
CREATE INDEX requests_ended_otherwise ON requests (status, started_at)
    WHERE status NOT IN ('completed', 'in_flight');
CREATE INDEX requests_by_session ON requests (session_id, started_at)
    WHERE session_id IS NOT NULL;
CREATE INDEX requests_by_client_request ON requests (client_request_id)
    WHERE client_request_id IS NOT NULL;
CREATE TRIGGER client_keys_added AFTER INSERT ON client_keys
BEGIN
    UPDATE keys_state SET version = version + 1;
END;
CREATE TRIGGER client_keys_changed
AFTER UPDATE OF label, digest, old_digest, old_until, expires_at, revoked_at, models, max_streams,
    rpm, tpm, per_day_nano, per_day_currency, per_month_nano, per_month_currency ON client_keys
BEGIN
    UPDATE keys_state SET version = version + 1;
END;
CREATE TRIGGER client_keys_removed AFTER DELETE ON client_keys
BEGIN
    UPDATE keys_state SET version = version + 1;
END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('closings',6);
COMMIT;
