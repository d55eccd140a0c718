"""A time-stamping service over HTTP (RFC 3161 3.4): each question is answered by `openssl ts`.

    tsa.py FOLDER    FOLDER holds tsa.cnf; prints the port
"""
import http.server
import subprocess
import sys
import tempfile

folder = sys.argv[1]


class Responder(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        query = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/timestamp-query"
        with tempfile.NamedTemporaryFile(suffix=".tsq") as file:
            file.write(query)
            file.flush()
            command = ["openssl", "ts", "-reply", "-config", f"{folder}/tsa.cnf", "-queryfile", file.name]
            answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=folder).stdout
        self.send_response(200)
        self.send_header("Content-Type", "application/timestamp-reply")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Responder)
print(server.server_port, flush=True)
server.serve_forever()
