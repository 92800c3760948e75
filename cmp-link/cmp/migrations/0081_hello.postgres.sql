-- The Hello that began the numbers of the car's sessions: repeated, it is the same connection (AID2 rule 1).
ALTER TABLE vehicle ADD COLUMN session_hello UUID;
