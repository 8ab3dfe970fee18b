// Lets a binary built on a new Linux run on an old one: glibc 2.28 and the libstdc++ of GCC 8.
//
// A linker binds a function to the newest version its own libraries have. With `--wrap=f` (CMakeLists.txt
// names each f) it binds to __wrap_f below instead, which calls the version that every system has. What old
// systems lack altogether is defined here. test/symbols.test.ts tells which versions the addon asks for: one
// that is too new belongs here.
#include <pthread.h>
#include <sys/stat.h>

#include <condition_variable>
#include <new>

// condition_variable::wait(unique_lock<mutex>&), of which GCC 12 made a second version
#define CONDITION_WAIT _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE
#define JOIN(a, b) a##b
#define WRAPPED(name) JOIN(__wrap_, name)
#define TEXT(x) #x
#define QUOTED(x) TEXT(x)

extern "C" {

asm(".symver old_trylock, pthread_mutex_trylock@GLIBC_2.2.5");
int old_trylock(pthread_mutex_t* mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t* mutex) { return old_trylock(mutex); }

asm(".symver old_wait, " QUOTED(CONDITION_WAIT) "@GLIBCXX_3.4.11");
void old_wait(std::condition_variable* condition, std::unique_lock<std::mutex>* lock);
void WRAPPED(CONDITION_WAIT)(std::condition_variable* condition, std::unique_lock<std::mutex>* lock) {
  old_wait(condition, lock);
}

asm(".symver old_dlopen, dlopen@GLIBC_2.2.5");
void* old_dlopen(const char* file, int mode);
void* __wrap_dlopen(const char* file, int mode) { return old_dlopen(file, mode); }

asm(".symver old_dlsym, dlsym@GLIBC_2.2.5");
void* old_dlsym(void* library, const char* name);
void* __wrap_dlsym(void* library, const char* name) { return old_dlsym(library, name); }

asm(".symver old_dlerror, dlerror@GLIBC_2.2.5");
char* old_dlerror();
char* __wrap_dlerror() { return old_dlerror(); }

// glibc 2.33: a function of its own. Before, the header passed on to this one, with the version of the
// structure.
asm(".symver old_fxstat, __fxstat@GLIBC_2.2.5");
int old_fxstat(int version, int file, struct stat* facts);
int __wrap_fstat(int file, struct stat* facts) { return old_fxstat(1, file, facts); }

asm(".symver old_exp, exp@GLIBC_2.2.5");
double old_exp(double x);
double __wrap_exp(double x) { return old_exp(x); }

asm(".symver old_log, log@GLIBC_2.2.5");
double old_log(double x);
double __wrap_log(double x) { return old_log(x); }

asm(".symver old_pow, pow@GLIBC_2.2.5");
double old_pow(double x, double y);
double __wrap_pow(double x, double y) { return old_pow(x, y); }

// glibc 2.32: whether shared_ptr may count without atomic operations. Never.
char __libc_single_threaded = 0;

}  // extern "C"

// GCC 11
void std::__throw_bad_array_new_length() { throw std::bad_alloc(); }
