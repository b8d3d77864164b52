"""Who the simulated customer is: one organisation, one project, one user, one key."""

ORGANIZATION = "org-simulated"
PROJECT = "proj_simulated"
USER = "user-simulated"
API_KEY_ID = "key_simulated"
