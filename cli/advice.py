"""What a person is advised to do, where more than one command says it."""

# Of a session that another container holds and does not speak of any more. No command does it from outside: only an
# agent that starts takes the session.
TAKE_BACK = (
    "start that one again, or take the session back in the container that is to have it: "
    "supervisorctl restart browser-agent"
)
