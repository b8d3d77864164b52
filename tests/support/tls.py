"""What a plain client of the simulators needs to be made, and never uses."""

import ssl

TLS = ssl.create_default_context()  # 10 to 50 ms for every client that makes its own
