"""`wss` that has loaded its libraries already, for tests that run shell scripts of many commands.

    python warm_wss.py serve SOCKET     load them, print "ready", then fork a process for every call
    python warm_wss.py call SOCKET WORDS...

Loading torch and unloading it takes seconds, most of the time of a command on a tiny set. The forked process gets what the
shell gave the call (words, environment, working directory, stdin, stdout, stderr); the call ends with its exit code, and a
call that is killed takes it along.
"""

import json
import os
import socket
import sys

# torch._dynamo is what the first optimizer of a process loads
HEAVY = ("torch", "torch._dynamo", "torchvision", "timm", "numba", "cv2", "scipy.ndimage", "skimage.segmentation")


def call(path: str, words: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        request = json.dumps({"words": words, "environment": dict(os.environ), "folder": os.getcwd()}).encode()  # noqa: PTH109
        socket.send_fds(server, [f"{len(request):8d}".encode()], [0, 1, 2])
        server.sendall(request)
        answer = server.recv(16)
    return int(answer or 70)  # no answer: nobody is there any more


def serve(path: str) -> None:
    """Until stdin is closed, so never longer than the tests."""
    import gc
    import importlib
    import multiprocessing
    import select

    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()  # what is loaded stays shared by all processes
    fork = multiprocessing.get_context("fork")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while 0 not in (ready := select.select([listening, 0], [], [])[0]):
            if ready:
                with listening.accept()[0] as caller:
                    fork.Process(target=answer, args=(caller, fork.Process)).start()
    os._exit(0)  # unloading all that takes seconds as well


def answer(caller: socket.socket, process) -> None:
    """A call: its `wss` in one more process, whose end is what the caller waits for."""
    from multiprocessing.connection import wait

    head, files, _, _ = socket.recv_fds(caller, 8, 3)
    rest = bytearray()
    while len(rest) < int(head):
        rest += caller.recv(1 << 16)
    request = json.loads(rest)
    child = process(target=become, args=(request, files))
    child.start()
    for file in files:  # the reader of a pipe waits until nobody can write there
        os.close(file)
    if child.sentinel not in wait([child.sentinel, caller]):
        child.kill()  # as the caller has been
    child.join()
    caller.sendall(str(child.exitcode % 256).encode())


def become(request: dict, files: list[int]) -> None:
    """Be `wss` as the shell would have started it."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["wss", *request["words"]]
    from wsscli.cli.app import main

    main()


if __name__ == "__main__":
    if sys.argv[1] == "call":
        sys.exit(call(sys.argv[2], sys.argv[3:]))
    serve(sys.argv[2])
