-- The attempts of a name are found by the beginning of their keys, so keys are compared byte by byte, whatever the
-- database's language.
ALTER TABLE attempt ALTER COLUMN key TYPE TEXT COLLATE "C";
