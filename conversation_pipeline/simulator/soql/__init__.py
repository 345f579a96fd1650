"""SOQL: its grammar, its meaning over a table of records, and the errors Salesforce answers."""
