import threading


def poll():
    pass


def make():
    return poll


thread = threading.Thread(target=poll)
thread.run()  # want "runs the thread's code here"
threading.Thread(target=poll).run()  # want
threading.Thread(target=poll()).start()  # want "its result, None"
threading.Thread(target=make()).start()


class Worker(threading.Thread):
    def run(self):
        super().run()


both = threading.Thread(target=poll)
both.start()
both.run()
threading.Timer(3, poll()).start()  # want "called here"
threading.Timer(3, poll).start()
