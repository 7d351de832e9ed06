/* Sends back what it receives: one thread, one epoll set. The least that a server can do. */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct epoll_event event, events[64];
    char buffer[4096];
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), set = epoll_create1(0);

    if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path)
        return 2;
    strcpy(address.sun_path, argv[1]);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        return 1;
    event.events = EPOLLIN;
    event.data.fd = listener;
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(set, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int connection = events[i].data.fd;
            if (connection == listener) {
                event.data.fd = accept(listener, NULL, NULL);
                epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t length = read(connection, buffer, sizeof buffer);
            if (length <= 0 || write(connection, buffer, length) != length)
                close(connection);
        }
    }
}
