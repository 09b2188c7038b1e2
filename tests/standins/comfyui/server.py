"""A stand-in for ComfyUI's module of this name: the web server's routes, queue and messages."""

from __future__ import annotations

import json

import execution
from standin import seen


class PromptServer:
    """Has what extensions use; it serves nothing by itself."""

    def __init__(self, loop):
        from aiohttp import web

        PromptServer.instance = self
        self.loop = loop
        self.routes = web.RouteTableDef()
        self.prompt_queue = execution.PromptQueue(self)
        self.on_prompt_handlers = []

    def add_on_prompt_handler(self, handler):
        self.on_prompt_handlers.append(handler)

    def send_sync(self, event, data, sid=None):
        seen.sent.append((event, json.loads(json.dumps(data))))

    def queue_updated(self):
        self.send_sync("status", {"queue_remaining": self.prompt_queue.get_tasks_remaining()})
