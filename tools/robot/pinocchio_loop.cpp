// Pinocchio's algorithms in a loop over states, on one thread: nanoseconds of processor time of one call.
// Arguments: a model that Python's `saveToText` wrote, how many states, seconds for each algorithm. Built by `tools.robot.dynamics`.
#include <pinocchio/fwd.hpp>  // first: it sets limits of Boost

#include <pinocchio/algorithm/aba.hpp>
#include <pinocchio/algorithm/crba.hpp>
#include <pinocchio/algorithm/jacobian.hpp>
#include <pinocchio/algorithm/joint-configuration.hpp>
#include <pinocchio/algorithm/kinematics.hpp>
#include <pinocchio/algorithm/rnea.hpp>
#include <pinocchio/serialization.hpp>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

template <class Call>
void timed(const char* name, std::size_t states, double seconds, Call call) {
    std::clock_t begun = std::clock();
    long calls = 0;
    double spent = 0.0;
    while (spent < seconds) {
        for (std::size_t k = 0; k < states; ++k) call(k);
        calls += static_cast<long>(states);
        spent = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
    }
    std::printf("%s %.3f\n", name, 1e9 * spent / static_cast<double>(calls));
}

int main(int, char** arguments) {
    pinocchio::Model model;
    pinocchio::serialization::loadFromText(model, arguments[1]);
    pinocchio::Data data(model);
    const std::size_t states = std::strtoul(arguments[2], nullptr, 10);
    const double seconds = std::strtod(arguments[3], nullptr);
    std::vector<Eigen::VectorXd> q, v, a;
    for (std::size_t k = 0; k < states; ++k) {
        const Eigen::VectorXd step = Eigen::VectorXd::Random(model.nv);
        q.push_back(pinocchio::integrate(model, pinocchio::neutral(model), step));
        v.push_back(Eigen::VectorXd::Random(model.nv));
        a.push_back(Eigen::VectorXd::Random(model.nv));
    }
    timed("forward_kinematics", states, seconds, [&](std::size_t k) { pinocchio::forwardKinematics(model, data, q[k]); });
    timed("jacobian", states, seconds, [&](std::size_t k) { pinocchio::computeJointJacobians(model, data, q[k]); });
    timed("inverse_dynamics", states, seconds, [&](std::size_t k) { pinocchio::rnea(model, data, q[k], v[k], a[k]); });
    timed("mass_matrix", states, seconds, [&](std::size_t k) { pinocchio::crba(model, data, q[k]); });
    timed("forward_dynamics", states, seconds, [&](std::size_t k) { pinocchio::aba(model, data, q[k], v[k], a[k]); });
}
