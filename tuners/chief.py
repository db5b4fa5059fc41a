"""The chief of a search over several processes: it trains nothing, and answers the workers."""

import os
import time
from concurrent import futures

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from tuners.lease import SHORTEST

POLL_S = 0.25
THREADS = 8  # that a worker's sign of life need not wait for another's trial


def serve(oracle):
    """Answer workers until all trials are over and every worker knows or is dead.

    The address is that of the environment's `KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT`.

    Args:
        oracle: `NARSOracle`.

    Raises:
        RuntimeError: The address cannot be had.
    """
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    # Without this a second chief would get some of the first one's workers.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=options)
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    server.start()
    began = time.monotonic()
    try:
        # Where all was over at the start, workers may still come, and are told so.
        while not oracle.is_over() or not (
            servicer.stop_triggered or time.monotonic() - began > SHORTEST
        ):
            time.sleep(POLL_S)
    finally:
        server.stop(grace=2).wait()
    oracle.over = True
    oracle.save()
