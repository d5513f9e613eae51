-- When an attempt had its connection, said its last content and stated its usage: milliseconds
-- since the exchange was accepted. Rows of before have none of the three.
ALTER TABLE attempts ADD COLUMN connected_ms REAL;
ALTER TABLE attempts ADD COLUMN last_token_ms REAL;
ALTER TABLE attempts ADD COLUMN usage_ms REAL;
