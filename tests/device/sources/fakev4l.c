/* A V4L2 camera on any Linux host, for LD_PRELOAD: streams frames of a file into mmapped buffers, and fails as told.

   FAKE_V4L2_DEVICE  path that is the camera; nothing need be there
   FAKE_V4L2_FRAMES  file of frames, each a 32-bit length and so many bytes; cycled
   FAKE_V4L2_MODE    640x480 BGR3 30: the one size, pixel format and rate that it has
   FAKE_V4L2_FAULTS  what happens at which frame, counted over the life of the process: "short@3 eio@9"
                       short   the buffer is half filled
                       eio     every DQBUF fails with EIO until the device is closed
                       enodev  every ioctl fails with ENODEV until the device is closed
                       stall   no frame comes any more until the device is closed

   A thread is the driver: at each tick it fills the next queued buffer, or drops the frame if there is none. The file
   descriptor is an eventfd that counts filled buffers, so that select and poll work by themselves. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A mask of places, the highest bit among them: as a signed number its maximum is below zero. */
#define AREAS (V4L2_CID_USER_BASE + 0xf00)
#define AREAS_MASK ((int)0x80402010)

enum { BUFFERS = 4 };
static int device = -1, memory = -1, width, height, rate;
static uint32_t pixel_format, depth, size, stride, used[BUFFERS];
static unsigned queued[BUFFERS], queue_length, done[BUFFERS], done_length, sequence;
static int streaming, stalled, broken; /* broken: the errno of every DQBUF */
static const uint8_t *frames, *next_frame, *frames_end;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t driver;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int fault(const char *kind)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s@%u ", kind, sequence);
    const char *faults = getenv("FAKE_V4L2_FAULTS");
    char padded[256];
    snprintf(padded, sizeof padded, " %s ", faults ? faults : "");
    char *at = strstr(padded, wanted);
    return at && at[-1] == ' ';
}

static void wake(void)
{
    uint64_t one = 1;
    if (write(device, &one, sizeof one) < 0)
        perror("fakev4l");
}

static void tick(void)
{
    if (fault("stall"))
        stalled = 1;
    if (fault("eio") || fault("enodev")) {
        broken = fault("eio") ? EIO : ENODEV;
        wake();
    }
    if (!streaming || stalled || broken || !queue_length)
        return;
    uint32_t length;
    memcpy(&length, next_frame, 4);
    unsigned index = queued[0];
    memmove(queued, queued + 1, --queue_length * sizeof *queued);
    used[index] = fault("short") ? length / 2 : length;
    if (pwrite(memory, next_frame + 4, used[index], (off_t)index * stride) < 0)
        perror("fakev4l");
    next_frame += 4 + length;
    if (next_frame >= frames_end)
        next_frame = frames;
    done[done_length++] = index;
    wake();
}

static void *run(void *unused)
{
    struct timespec pause = { 0, 1000000000 / rate };
    for (;;) {
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
        if (device < 0) {
            pthread_mutex_unlock(&lock);
            return unused;
        }
        /* Not before the frame before was taken: on a busy machine faults would come before any reader looks. */
        if (streaming && !done_length) {
            tick();
            sequence++;
        }
        pthread_mutex_unlock(&lock);
    }
}

static int open_device(void)
{
    const char *file = getenv("FAKE_V4L2_FRAMES"), *mode = getenv("FAKE_V4L2_MODE");
    char format[5] = "";
    if (device >= 0 || !file || !mode || sscanf(mode, "%dx%d %4s %d", &width, &height, format, &rate) != 4) {
        errno = device >= 0 ? EBUSY : ENODEV;
        return -1;
    }
    if (!frames) {
        int source = REAL(open)(file, O_RDONLY);
        struct stat about;
        if (source < 0 || fstat(source, &about))
            return -1;
        frames = next_frame = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE, source, 0);
        frames_end = frames + about.st_size;
    }
    for (int place = 0; place < 4; place++) /* "Y16" ends in a space */
        format[place] = format[place] ? format[place] : ' ';
    memcpy(&pixel_format, format, 4);
    depth = pixel_format == V4L2_PIX_FMT_Y16 ? 2 : 3;
    size = width * height * depth;
    stride = (size + 4095) & ~4095u;
    streaming = stalled = broken = queue_length = done_length = 0;
    memory = memfd_create("video", 0);
    if (memory < 0 || ftruncate(memory, (off_t)stride * BUFFERS))
        return -1;
    device = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
    pthread_create(&driver, NULL, run, NULL);
    return device;
}

static void describe(struct v4l2_pix_format *pixels)
{
    memset(pixels, 0, sizeof *pixels);
    pixels->width = width;
    pixels->height = height;
    pixels->pixelformat = pixel_format;
    pixels->field = V4L2_FIELD_NONE;
    pixels->bytesperline = pixel_format == V4L2_PIX_FMT_MJPEG ? 0 : width * depth;
    pixels->sizeimage = size;
    pixels->colorspace = V4L2_COLORSPACE_SRGB;
}

static int dequeue(struct v4l2_buffer *buffer)
{
    uint64_t one;
    if (broken)
        return broken;
    if (read(device, &one, sizeof one) < 0 || !done_length)
        return EAGAIN;
    unsigned index = done[0];
    memmove(done, done + 1, --done_length * sizeof *done);
    buffer->index = index;
    buffer->bytesused = used[index];
    buffer->length = size;
    buffer->sequence = sequence;
    buffer->memory = V4L2_MEMORY_MMAP;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

/* Returns 0 or an errno. */
static int answer(unsigned long request, void *argument)
{
    if (broken == ENODEV)
        return ENODEV;
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *about = argument;
        memset(about, 0, sizeof *about);
        strcpy((char *)about->driver, "fakev4l");
        strcpy((char *)about->card, "fake camera");
        about->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    }
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = argument;
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return input->index ? EINVAL : 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return 0;
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *format = argument;
        format->pixelformat = pixel_format;
        format->flags = pixel_format == V4L2_PIX_FMT_MJPEG ? V4L2_FMT_FLAG_COMPRESSED : 0;
        return format->index ? EINVAL : 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *sizes = argument;
        sizes->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        sizes->discrete.width = width;
        sizes->discrete.height = height;
        return sizes->index ? EINVAL : 0;
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *interval = argument;
        interval->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        interval->discrete.numerator = 1;
        interval->discrete.denominator = rate;
        return interval->index ? EINVAL : 0;
    }
    case VIDIOC_QUERYCTRL: {
        struct v4l2_queryctrl *control = argument;
        unsigned next = control->id & V4L2_CTRL_FLAG_NEXT_CTRL, number = control->id & ~V4L2_CTRL_FLAG_NEXT_CTRL;
        unsigned known[] = {V4L2_CID_BRIGHTNESS, V4L2_CID_POWER_LINE_FREQUENCY, AREAS};
        int kinds[] = {V4L2_CTRL_TYPE_INTEGER, V4L2_CTRL_TYPE_MENU, V4L2_CTRL_TYPE_BITMASK};
        const char *names[] = {"Brightness", "Power Line Frequency", "Areas"};
        int lowest[] = {-64, 0, 0}, highest[] = {64, 2, AREAS_MASK};
        for (int place = 0; place < 3; place++) {
            if (next ? known[place] <= number : known[place] != number)
                continue;
            memset(control, 0, sizeof *control);
            control->id = known[place];
            control->type = kinds[place];
            strcpy((char *)control->name, names[place]);
            control->minimum = lowest[place];
            control->maximum = highest[place];
            control->step = place < 2;
            return 0;
        }
        return EINVAL;
    }
    case VIDIOC_QUERYMENU: {
        struct v4l2_querymenu *entry = argument;
        const char *names[] = {"Disabled", "50 Hz", "60 Hz"};
        if (entry->id != V4L2_CID_POWER_LINE_FREQUENCY || entry->index > 2)
            return EINVAL;
        strcpy((char *)entry->name, names[entry->index]);
        return 0;
    }
    case VIDIOC_S_CTRL: /* brightness in steps of ten: a driver rounds */
    case VIDIOC_G_CTRL: {
        struct v4l2_control *control = argument;
        static int values[3];
        int *value = values + (control->id == V4L2_CID_POWER_LINE_FREQUENCY) + 2 * (control->id == AREAS);
        if (request == VIDIOC_S_CTRL)
            *value = control->id == V4L2_CID_BRIGHTNESS ? control->value / 10 * 10
                     : control->id == AREAS            ? control->value & AREAS_MASK
                                                       : control->value;
        control->value = *value;
        return 0;
    }
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        describe(&((struct v4l2_format *)argument)->fmt.pix);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_captureparm *capture = &((struct v4l2_streamparm *)argument)->parm.capture;
        capture->capability = V4L2_CAP_TIMEPERFRAME;
        capture->timeperframe.numerator = 1;
        capture->timeperframe.denominator = rate;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *buffers = argument;
        if (buffers->count > BUFFERS)
            buffers->count = BUFFERS;
        queue_length = done_length = 0;
        return buffers->memory == V4L2_MEMORY_MMAP ? 0 : EINVAL;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = argument;
        buffer->length = size;
        buffer->m.offset = buffer->index * stride;
        return buffer->index < BUFFERS ? 0 : EINVAL;
    }
    case VIDIOC_QBUF: {
        struct v4l2_buffer *buffer = argument;
        if (buffer->index >= BUFFERS || queue_length == BUFFERS)
            return EINVAL;
        queued[queue_length++] = buffer->index;
        return 0;
    }
    case VIDIOC_DQBUF:
        return dequeue(argument);
    case VIDIOC_STREAMON:
        streaming = 1;
        return 0;
    case VIDIOC_STREAMOFF:
        streaming = queue_length = done_length = 0;
        return 0;
    }
    return EINVAL;
}

static int is_camera(const char *path)
{
    const char *camera = getenv("FAKE_V4L2_DEVICE");
    return camera && !strcmp(path, camera);
}

#define OPEN(name)                             \
    int name(const char *path, int flags, ...) \
    {                                          \
        if (is_camera(path))                   \
            return open_device();              \
        va_list more;                          \
        va_start(more, flags);                 \
        int mode = va_arg(more, int);          \
        va_end(more);                          \
        return REAL(name)(path, flags, mode);  \
    }
OPEN(open)
OPEN(open64)

/* For those who ask whether it is there, it is the device that is always there and that all may use. */
#define STAT(name, kind)                                               \
    int name(const char *path, struct kind *about)                     \
    {                                                                  \
        return REAL(name)(is_camera(path) ? "/dev/null" : path, about); \
    }
STAT(stat, stat)
STAT(stat64, stat64)

int access(const char *path, int how)
{
    return REAL(access)(is_camera(path) ? "/dev/null" : path, how);
}

int close(int file)
{
    if (file < 0 || file != device)
        return REAL(close)(file);
    pthread_mutex_lock(&lock);
    device = -1;
    pthread_mutex_unlock(&lock);
    pthread_join(driver, NULL);
    REAL(close)(memory);
    return REAL(close)(file);
}

int ioctl(int file, unsigned long request, ...)
{
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (file < 0 || file != device)
        return REAL(ioctl)(file, request, argument);
    pthread_mutex_lock(&lock);
    int error = answer(request & 0xffffffff, argument);
    pthread_mutex_unlock(&lock);
    errno = error;
    return error ? -1 : 0;
}

#define MMAP(name)                                                                              \
    void *name(void *address, size_t length, int protection, int flags, int file, off_t offset) \
    {                                                                                           \
        return REAL(name)(address, length, protection, flags,                                   \
                          file >= 0 && file == device ? memory : file, offset);                 \
    }
MMAP(mmap)
MMAP(mmap64)
