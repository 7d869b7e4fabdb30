"""The Huey instance. Imported by the worker, the scheduler and whoever enqueues; connects only when used."""

import os

import redis
from huey import RedisExpireHuey

from whatsapp_contract.redis_connection import ANSWER_WITHIN_S, CONNECT_WITHIN_S
from whatsapp_contract.settings import Settings

settings = Settings.from_env(os.environ)

task_queue = RedisExpireHuey(
    settings.instance_names.queue,
    results=False,  # nobody reads them, and Huey would keep them
    read_timeout=1,
    connection_pool=redis.ConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=CONNECT_WITHIN_S,
    ),
)
