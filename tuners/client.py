"""A worker's line to the chief, which may be restarted meanwhile."""

import copy
import os
import time

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine.trial import Trial, TrialStatus

PATIENCE_S = 600  # for a chief that is being started
LEFT_S = 30  # after which a saved "the search is over" is believed
RETRY_S = 0.5
CALL_S = 600  # for an answer: the chief may be refitting its predictor
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class ChiefLeft(Exception):
    """The search is over, and its chief has ended."""


class Client(OracleClient):
    """The oracle as a worker has it: every call goes to the chief, and says whose it is.

    Args:
        oracle: The worker's own `NARSOracle`, which only knows the settings and the folder.
        tuner_id: The worker's name.
    """

    def __init__(self, oracle, tuner_id):
        super().__init__(oracle)
        address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
        # By default it would take up to two minutes to notice that the chief is back.
        options = [("grpc.max_reconnect_backoff_ms", 1000)]
        channel = grpc.insecure_channel(address, options=options)
        self.tuner_id = tuner_id
        self._direct = protos.get_service_grpc().OracleStub(channel)
        self.stub = PatientStub(self._direct, oracle)

    def create_trial(self, tuner_id):
        try:
            return super().create_trial(tuner_id)
        except ChiefLeft:
            return Trial(self._oracle.get_space(), status=TrialStatus.STOPPED)

    def update_trial(self, trial_id, metrics, step=0):
        return super().update_trial(self._as_mine(trial_id), metrics, step)

    def end_trial(self, trial):
        trial = copy.copy(trial)
        trial.trial_id = self._as_mine(trial.trial_id)
        super().end_trial(trial)

    def beat(self, trial_id):
        """A sign of life; if the chief is away, it doesn't get it."""
        request = protos.get_service().GetTrialRequest(trial_id=self._as_mine(trial_id))
        try:
            self._direct.GetTrial(request, timeout=RETRY_S * 10)
        except grpc.RpcError as error:
            if error.code() not in GONE:
                raise

    def _as_mine(self, trial_id):
        return f"{trial_id}/{self.tuner_id}"


class PatientStub:
    """The chief's calls, repeated while it is away: all may be made twice."""

    def __init__(self, stub, oracle):
        self.stub = stub
        self.oracle = oracle

    def __getattr__(self, name):
        call = getattr(self.stub, name)

        def patiently(request, **options):
            began = time.monotonic()
            while True:
                try:
                    return call(request, timeout=CALL_S)
                except grpc.RpcError as error:
                    if error.code() not in GONE:
                        raise
                    waited = time.monotonic() - began
                    if waited > LEFT_S and self.oracle.saved_state().get("over"):
                        raise ChiefLeft(name) from None
                    if waited > PATIENCE_S:
                        raise TimeoutError(
                            f"The chief at {os.environ['KERASTUNER_ORACLE_IP']}:"
                            f"{os.environ['KERASTUNER_ORACLE_PORT']} has not answered for "
                            f"{PATIENCE_S} s."
                        ) from error
                time.sleep(RETRY_S)

        return patiently
