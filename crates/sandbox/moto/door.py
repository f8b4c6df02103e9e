"""The door of moto: requests that carry the secret of the sandbox are answered, and no others."""

import hmac

import moto.server


class Door:
    def __init__(self, application, secret):
        self.application, self.secret = application, secret.encode()

    def __call__(self, environ, start_response):
        given = environ.pop("HTTP_X_SANDBOX_SECRET", "")
        if hmac.compare_digest(given.encode(), self.secret):
            return self.application(environ, start_response)
        start_response("403 Forbidden", [("content-type", "text/plain")])
        return [b"expected the secret of the sandbox\n"]


def close(secret):
    application = moto.server.DomainDispatcherApplication
    moto.server.DomainDispatcherApplication = lambda create_app: Door(
        application(create_app), secret
    )
