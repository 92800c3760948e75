-- What the CMP knows of the car's numbering of its sessions (AID2 rule 1). No reference to the account: instances of an
-- earlier version erase users without knowing these columns, so whom they name is looked for before a session is given back.
ALTER TABLE vehicle ADD COLUMN session_number BIGINT;
ALTER TABLE vehicle ADD COLUMN session_before UUID;
