-- The languages that a parse was asked for, as the vendor's codes; none: it finds out.
ALTER TABLE parses ADD COLUMN languages text[] NOT NULL DEFAULT '{}';
