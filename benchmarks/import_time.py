"""What `import keras_resnets` costs over `import keras`: the median of several fresh processes.

python benchmarks/import_time.py
"""

import statistics
import subprocess
import sys

RUNS = 7
LIMIT = 0.3
SCRIPT = """
import time
import keras
start = time.perf_counter()
import keras_resnets
print(time.perf_counter() - start)
"""


def seconds():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return float(run.stdout.splitlines()[-1])


def main():
    seconds()  # once unmeasured, so that the bytecode is written
    times = [seconds() for _ in range(RUNS)]
    median = statistics.median(times)
    print(f"import keras_resnets over import keras: median {median:.3f} s of {RUNS} runs")
    print(f"range {min(times):.3f} to {max(times):.3f} s, limit {LIMIT} s")
    print(f"ratio to the limit: {median / LIMIT:.2f}")


if __name__ == "__main__":
    main()
