"""A program with vLLM's command line and routes, without a model: every answer is the name of the model that was asked.

It writes its arguments to the file that DOUBLE_ARGUMENTS names, and ends at once with DOUBLE_FAILS=1.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPTIONS = dict(argument[2:].split("=", 1) for argument in sys.argv[3:] if "=" in argument)
LOADED = {OPTIONS["served-model-name"]}
BORN = time.monotonic()


class Routes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        print("asked", self.path, flush=True)

    def do_GET(self):
        ready = time.monotonic() - BORN > float(os.environ.get("DOUBLE_LOADS_FOR", "0"))
        self.reply(200 if ready else 503, {})

    def do_POST(self):
        self.reply(*self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def answer(self, body):
        if self.path == "/v1/load_lora_adapter":
            if not (Path(body["lora_path"]) / "adapter_config.json").is_file() or "--enable-lora" not in sys.argv:
                return 404, {"error": {"message": f"no adapter in {body['lora_path']}"}}
            LOADED.add(body["lora_name"])
            return 200, "Success"
        if self.path == "/v1/unload_lora_adapter":
            LOADED.discard(body["lora_name"])
            return 200, "Success"
        if body["model"] not in LOADED:
            return 404, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        message = {"role": "assistant", "content": json.dumps({key: body.get(key) for key in ("model", "structured_outputs")})}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        return 200, {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], "usage": usage}

    def reply(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    if file := os.environ.get("DOUBLE_ARGUMENTS"):
        Path(file).write_text(json.dumps(sys.argv[1:]))
    if os.environ.get("DOUBLE_FAILS"):
        print("\x1b[31mtorch.OutOfMemoryError: no room\x1b[0m")
        raise SystemExit(3)
    ThreadingHTTPServer((OPTIONS["host"], int(OPTIONS["port"])), Routes).serve_forever()
