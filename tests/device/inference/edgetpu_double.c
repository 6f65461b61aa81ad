/* Stands in for libedgetpu in the tests: the same two functions, a real TfLiteDelegate, no Edge TPU.
 *
 * It takes the nodes that Google's compiler leaves, `edgetpu-custom-op`, of uint8 pixels (1, height, width, 3) and uint8
 * scores (1, 4), and computes what tests/models/make_tiny_models.py computes: the strongest channel wins.
 * The file that EDGETPU_DOUBLE names holds one word, what is to happen, read anew each time: "works", "missing", "wrong"
 * (of another label), "chatter" (on standard error), or "create-X", "prepare-X", "invoke-X" with X one of segfault,
 * illegal, abort, hang, fail.
 *
 * The structures are those of TensorFlow Lite's C API, tensorflow/lite/core/c/common.h and c_api_types.h: only what is
 * used here, up to the last field that is.
 */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef enum { kTfLiteOk = 0, kTfLiteError = 1, kTfLiteDelegateError = 2 } TfLiteStatus;

typedef struct {
  int size;
  int data[];
} TfLiteIntArray;

typedef struct TfLiteTensor {
  int type;
  union {
    uint8_t* uint8;
    void* raw;
  } data;
  TfLiteIntArray* dims;
  struct {
    float scale;
    int32_t zero_point;
  } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  void* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  struct {
    int type;
    void* params;
  } quantization;
  void* sparsity;
  const TfLiteIntArray* dims_signature;
} TfLiteTensor;

typedef struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  TfLiteIntArray* intermediates;
  TfLiteIntArray* temporaries;
  void* user_data;
} TfLiteNode;

struct TfLiteContext;
struct TfLiteDelegate;

typedef struct TfLiteRegistration {
  void* (*init)(struct TfLiteContext*, const char* buffer, size_t length);
  void (*free)(struct TfLiteContext*, void* buffer);
  TfLiteStatus (*prepare)(struct TfLiteContext*, TfLiteNode*);
  TfLiteStatus (*invoke)(struct TfLiteContext*, TfLiteNode*);
  const char* (*profiling_string)(const struct TfLiteContext*, const TfLiteNode*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external; /* from here on newer than the first releases; zero means absent */
  void* async_kernel;
  uint64_t inplace_operator;
} TfLiteRegistration;

typedef struct TfLiteContext {
  size_t tensors_size;
  TfLiteStatus (*GetExecutionPlan)(struct TfLiteContext*, TfLiteIntArray** plan);
  TfLiteTensor* tensors;
  void* impl_;
  TfLiteStatus (*ResizeTensor)(struct TfLiteContext*, TfLiteTensor*, TfLiteIntArray*);
  void (*ReportError)(struct TfLiteContext*, const char* format, ...);
  TfLiteStatus (*AddTensors)(struct TfLiteContext*, int count, int* first);
  TfLiteStatus (*GetNodeAndRegistration)(struct TfLiteContext*, int index, TfLiteNode**, TfLiteRegistration**);
  TfLiteStatus (*ReplaceNodeSubsetsWithDelegateKernels)(struct TfLiteContext*, TfLiteRegistration,
                                                        const TfLiteIntArray* nodes, struct TfLiteDelegate*);
} TfLiteContext;

typedef struct TfLiteDelegate {
  void* data_;
  TfLiteStatus (*Prepare)(TfLiteContext*, struct TfLiteDelegate*);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
} TfLiteDelegate;

enum { SCORES = 4, MAX_NODES = 16 };

static bool told(const char* word) {
  char text[64] = "";
  const char* path = getenv("EDGETPU_DOUBLE");
  FILE* file = path ? fopen(path, "r") : NULL;
  if (file) {
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
  }
  return strcmp(text, word) == 0;
}

/* What is to happen at a step: fails if told so, and may not return. */
static TfLiteStatus misfortune(const char* step) {
  static const char* const kinds[] = {"segfault", "illegal", "abort", "hang", "fail"};
  for (int kind = 0; kind < 5; kind++) {
    char word[64];
    snprintf(word, sizeof word, "%s-%s", step, kinds[kind]);
    if (!told(word)) continue;
    switch (kind) {
      case 0: raise(SIGSEGV); break;
      case 1: raise(SIGILL); break;
      case 2:
        fprintf(stderr, "F :1] transfer on tag 1 failed. Abort. Deadline exceeded: USB transfer error 2\n");
        abort();
      case 3: for (;;) pause();
      default: return kTfLiteError;
    }
  }
  return kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, TfLiteNode* node) {
  (void)context, (void)node;
  return misfortune("prepare");
}

static TfLiteStatus invoke(TfLiteContext* context, TfLiteNode* node) {
  if (misfortune("invoke") != kTfLiteOk) {
    context->ReportError(context, "the double was told to fail");
    return kTfLiteError;
  }
  for (int line = 0; told("chatter") && line < 5000; line++) fprintf(stderr, "W :1] a warning that nobody reads, again\n");
  const TfLiteTensor* input = &context->tensors[node->inputs->data[0]];
  TfLiteTensor* output = &context->tensors[node->outputs->data[0]];
  double sums[SCORES] = {0, 0, 0, 0}, exponentials[SCORES], total = 0;
  for (size_t place = 0; place < input->bytes; place++) sums[place % 3] += input->data.uint8[place];
  for (int channel = 0; channel < 3; channel++) sums[channel] *= 10.0 / 255 / ((double)input->bytes / 3);
  sums[3] = 2;
  for (int label = 0; label < SCORES; label++) total += exponentials[label] = exp(sums[label]);
  int turn = told("wrong") ? 1 : 0;
  for (int label = 0; label < SCORES; label++) {
    double level = exponentials[(label + turn) % SCORES] / total / output->params.scale + output->params.zero_point;
    output->data.uint8[label] = (uint8_t)fmin(255, round(level));
  }
  return kTfLiteOk;
}

static TfLiteStatus take_nodes(TfLiteContext* context, TfLiteDelegate* delegate) {
  static const TfLiteRegistration kernel = {.prepare = prepare, .invoke = invoke, .custom_name = "double", .version = 1};
  TfLiteIntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  struct {
    int size;
    int data[MAX_NODES];
  } ours = {0, {0}};
  for (int place = 0; place < plan->size && ours.size < MAX_NODES; place++) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    if (context->GetNodeAndRegistration(context, plan->data[place], &node, &registration) != kTfLiteOk) return kTfLiteError;
    if (registration->custom_name && strcmp(registration->custom_name, "edgetpu-custom-op") == 0)
      ours.data[ours.size++] = plan->data[place];
  }
  return context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, (const TfLiteIntArray*)&ours, delegate);
}

/* Where EDGETPU_DOUBLE_LOCK names a file, the accelerator can be opened once, as a real one. */
static bool taken(void) {
  const char* path = getenv("EDGETPU_DOUBLE_LOCK");
  int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
  return path && (file < 0 || flock(file, LOCK_EX | LOCK_NB)); /* held as long as the process lives */
}

TfLiteDelegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  (void)report; /* libedgetpu gives no reason either */
  if (misfortune("create") != kTfLiteOk || told("missing") || taken()) return NULL;
  for (size_t option = 0; option < count; option++) { /* there is one, and it is usb:0 */
    if (strcmp(keys[option], "device") || (strcmp(values[option], "usb") && strcmp(values[option], "usb:0"))) return NULL;
  }
  TfLiteDelegate* delegate = calloc(1, sizeof *delegate);
  delegate->Prepare = take_nodes;
  delegate->flags = 1; /* kTfLiteDelegateFlagsAllowDynamicTensors: else nodes that nobody knows are prepared first */
  return delegate;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) { free(delegate); }
