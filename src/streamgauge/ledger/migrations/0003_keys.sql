-- Client keys (SPEC §15.1). A key's text is nowhere in this file: `digest` is its HMAC-SHA-256 under
-- a secret that lies beside the ledger, `shown` its first characters.
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

-- `version` changes with every change that a gateway must see, so that looking costs one row.
-- `secret_check`: a digest of a known text, which tells whether the secret is this ledger's.
CREATE TABLE keys_state (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    version       INTEGER NOT NULL,
    secret_check  BLOB
) STRICT;

INSERT INTO keys_state VALUES (1, 0, NULL);

-- Triggers: whoever changes a key, the version is in the same transaction. Being used is no change.
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
