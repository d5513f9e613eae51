-- How far each exporter has come (SPEC §16.1).

-- `sink`: an exporter and its destination, without secrets. `seq`: the last closing that it has
-- delivered; what comes after it is still to be sent. `state`: what it must remember together with
-- that place, in its own words. `serving`: whether the configuration has it now: only then does
-- retention wait for it.
CREATE TABLE export_cursors (
    sink     TEXT PRIMARY KEY NOT NULL,
    seq      INTEGER NOT NULL,
    serving  INTEGER NOT NULL CHECK (serving IN (0, 1)),
    state    TEXT
) STRICT;
