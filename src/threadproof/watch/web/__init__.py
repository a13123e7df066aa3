"""What a program shows of itself over HTTP, only if it is asked to.

    app      App: from a request to a response, whatever the server
    wsgi     the same for WSGI servers
    asgi     the same for ASGI servers
    server   serve(): a small server of its own, for this machine only unless told otherwise
    threads  the stacks of all threads

No path changes the program or reads a value of a map; keys are shown only if that is chosen. A token can be
required.
"""
